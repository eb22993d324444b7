"""A worker that dies in a record step: the record, its effect, its event and the step's outcome are all there, or none is.

Real processes, killed by SIGKILL at CP-R1 and CP-R2, right before COMMIT, and where record capture has its points.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from crm.models import Contact, Record, Task
from executions import engine, sweeper
from executions.models import Attempt, Effect, Run, StepRun
from tests.bellboy import Bellboy
from tests.capturing import capturing, payloads, watching
from tests.concurrency import wait_until_alone
from tests.dying import BEFORE_COMMIT, Mortals, mortals
from tests.integration.record_steps.playing import create, step_of, update, upsert
from tests.staging import a_run, answer_with_cells_here, everything, let_time_pass
from triggers.models import OutboxEvent, UncapturedWrite

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

KILLED = -signal.SIGKILL
EARLY = [("orm", "CP-L1"), ("orm", "CP-L2"), *[(mode, point) for mode in ("orm", "trigger") for point in ("CP-R1", BEFORE_COMMIT)]]  # fmt: skip
STEPS = ["create", "update", "upsert, new", "upsert, found"]


@pytest.fixture(scope="module")
def mortal(django_db_setup: None) -> Iterator[Mortals]:
    with mortals(str(connection.settings_dict["NAME"])) as found:
        yield found


@pytest.fixture
def ada() -> Contact:
    found = Contact.objects.create(email="ada@example.com")
    watching("contact", "created")
    watching("contact", "updated", "title")
    return found


def the_step(name: str, ada: Contact) -> dict[str, Any]:
    return {
        "create": create("contact", last_name="Lovelace", title="Countess"),
        "update": update("contact", ada.pk, title="Countess"),
        "upsert, new": upsert("contact", {"email": "new@example.com"}, title="Countess"),
        "upsert, found": upsert("contact", {"email": "ADA@example.com"}, title="Countess"),
    }[name]


def records(model: type[Record] = Contact) -> list[Any]:
    return list(model._default_manager.order_by("pk").values())


def is_done_once(run: Run) -> bool:
    """The record, its effect, its event and the outcome of its step agree that it was written exactly once."""
    run.refresh_from_db()
    output = step_of(run).output
    contact = Contact.objects.get(title="Countess")
    effect = Effect.objects.get(scope=run.pk, key=f"{run.pk}:it")
    assert [payload["id"] for payload in payloads()] == [str(contact.pk)]
    return bool(output["id"] == (effect.answer or {})["id"] == str(contact.pk) and effect.status == "done")


@pytest.mark.parametrize(("mode", "point"), EARLY)
@pytest.mark.parametrize("name", STEPS)
def test_given_a_death_before_its_commit_then_nothing_of_it_is_there_and_the_sweep_has_it_done_once(
    mortal: Mortals, ada: Contact, bellboy: Bellboy, name: str, mode: str, point: str
) -> None:
    run = a_run(the_step(name, ada))
    before = everything(), records()
    with capturing(mode):
        assert mortal.do("advance", run.pk, mode=mode, point=point) == KILLED
        wait_until_alone()

        assert (everything(), records()) == before
        assert payloads() == []

        let_time_pass()
        sweeper.sweep()
        bellboy.answer_all()
        assert is_done_once(run)
        assert run.status == "completed"
        assert not UncapturedWrite.objects.exists()


@pytest.mark.parametrize("mode", ["orm", "trigger"])
@pytest.mark.parametrize("name", STEPS)
def test_given_a_death_behind_its_commit_then_all_of_it_is_there_and_the_next_step_by_the_sweep(
    mortal: Mortals, ada: Contact, bellboy: Bellboy, name: str, mode: str
) -> None:
    run = a_run(the_step(name, ada), create("task", key="next", title="Call {{ it.id }}"))
    with capturing(mode):
        assert mortal.do("advance", run.pk, mode=mode, point="CP-R2") == KILLED
        wait_until_alone()

        assert is_done_once(run)
        assert dict(run.steps.values_list("key", "status")) == {"it": "completed", "next": "ready"}
        assert not Task.objects.exists()
        assert not OutboxEvent.objects.filter(source="record").exclude(status="pending").exists()

        let_time_pass()
        sweeper.sweep()
        bellboy.answer_all()
        assert is_done_once(run)
        assert run.status == "completed"
        assert Task.objects.get().title == f"Call {step_of(run).output['id']}"
    assert Run.objects.filter(event__source="record").count() == 1


@pytest.mark.parametrize("point", ["CP-R1", "CP-R2"])
def test_given_a_cell_that_dies_in_it_then_the_attempt_is_lost_or_done_and_the_record_there_once(
    mortal: Mortals, ada: Contact, bellboy: Bellboy, point: str
) -> None:
    """Careful mode: the attempt was counted before the work."""
    run = a_run(the_step("create", ada))
    StepRun.objects.filter(run=run).update(rings=3)

    assert mortal.do("advance in a cell", run.pk, point=point) == KILLED
    wait_until_alone()
    let_time_pass()
    sweeper.sweep()
    answer_with_cells_here(bellboy)

    assert is_done_once(run)
    assert run.status == "completed"
    outcomes = list(
        Attempt.objects.filter(step_run__run=run).order_by("number").values_list("outcome", flat=True)
    )
    assert outcomes == (["lost", "ok"] if point == "CP-R1" else ["ok"])


def test_given_three_workers_that_die_of_it_one_after_the_other_then_the_fourth_writes_once(
    mortal: Mortals, ada: Contact
) -> None:
    run = a_run(the_step("create", ada))
    for _ in range(3):
        assert mortal.do("advance", run.pk, point="CP-R1") == KILLED
    wait_until_alone()

    engine.advance([str(run.pk)])

    assert is_done_once(run)
