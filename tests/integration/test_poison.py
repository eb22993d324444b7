"""One bad event never holds up the others, and is put aside after three tries."""

from __future__ import annotations

from typing import Any

import pytest

from executions import dispatcher
from executions.models import Run
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow, an_event
from tests.staging import say, slow
from triggers.models import OutboxEvent
from workflows.models import WorkflowVersion

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]
SHARD = 5


def an_undispatchable_event() -> OutboxEvent:
    """Its version's plan is broken, as only a person with a database console can do it."""
    workflow = a_published_workflow(steps=[slow()])
    break_plan(workflow.active_version, "'[]'")
    return an_event(workflow, shard=SHARD)


def break_plan(version: Any, plan: str) -> None:
    sql.rows("ALTER TABLE workflows_workflowversion DISABLE TRIGGER USER", {})
    sql.rows(
        f"UPDATE workflows_workflowversion SET plan = {plan}::jsonb WHERE id = %(id)s::bigint",
        {"id": version.pk},
    )
    sql.rows("ALTER TABLE workflows_workflowversion ENABLE TRIGGER USER", {})


def state(event: OutboxEvent) -> tuple[str, int, str | None]:
    event.refresh_from_db()
    return event.status, event.tries, event.error_code


def test_given_a_bad_event_in_a_batch_then_the_rest_is_dispatched(bellboy: Bellboy) -> None:
    good = [an_event(a_published_workflow(steps=[say()]), shard=SHARD) for _ in range(2)]
    bad = an_undispatchable_event()
    good += [an_event(a_published_workflow(steps=[slow()]), shard=SHARD, payload={"n": 1})]

    assert dispatcher.dispatch_shard(SHARD) == 3

    assert {state(event)[0] for event in good} == {"dispatched"}
    assert sorted(Run.objects.values_list("status", flat=True)) == ["completed", "completed", "pending"]
    assert bellboy.names() == ["execute_steps"]
    assert state(bad) == ("pending", 1, None)


def test_given_three_failed_tries_then_the_event_is_poison(bellboy: Bellboy) -> None:
    bad = an_undispatchable_event()

    for tries in (1, 2):
        dispatcher.dispatch_shard(SHARD)
        assert state(bad) == ("pending", tries, None)
    dispatcher.dispatch_shard(SHARD)

    assert state(bad) == ("poison", 3, "engine.dispatch_failed")
    assert bad.decided_at is not None
    dispatcher.dispatch_shard(SHARD)
    assert state(bad) == ("poison", 3, "engine.dispatch_failed")


def test_a_full_batch_of_bad_events_does_not_hide_what_comes_after_them(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "BATCH", 2)
    bad = [an_undispatchable_event() for _ in range(3)]
    good = an_event(a_published_workflow(steps=[say()]), shard=SHARD)

    dispatcher.dispatch_shard(SHARD)
    dispatcher.dispatch_shard(SHARD)

    assert state(good)[0] == "dispatched"
    assert {state(event)[0] for event in bad} <= {"poison", "pending"}


def test_given_a_mended_cause_when_a_person_dispatches_it_again_then_it_runs(bellboy: Bellboy) -> None:
    bad = an_undispatchable_event()
    for _ in range(3):
        dispatcher.dispatch_shard(SHARD)
    sound = a_published_workflow(steps=[say()]).active_version
    assert sound is not None
    break_plan(
        WorkflowVersion.objects.get(pk=bad.version_id),
        f"(SELECT plan FROM workflows_workflowversion WHERE id = {sound.pk})",
    )

    dispatcher.dispatch_again(str(bad.pk))
    assert state(bad) == ("pending", 0, None)
    assert bellboy.names() == ["dispatch_shard"]
    dispatcher.dispatch_batch(SHARD)

    assert state(bad)[0] == "dispatched"


def test_an_event_that_is_no_poison_is_not_dispatched_again(bellboy: Bellboy) -> None:
    event = an_event(a_published_workflow(steps=[say()]), shard=SHARD)
    dispatcher.dispatch_shard(SHARD)

    dispatcher.dispatch_again(str(event.pk))

    assert state(event)[0] == "dispatched"
    assert bellboy.names() == []


def test_an_event_taken_meanwhile_by_another_dispatcher_is_not_blamed(bellboy: Bellboy) -> None:
    event = an_event(a_published_workflow(steps=[say()]), shard=SHARD)
    dispatcher.dispatch_shard(SHARD)

    assert dispatcher._dispatch_one(str(event.pk)) is None
    assert state(event) == ("dispatched", 0, None)
