"""What follows a slow step: its worker goes on with the run, gives way to others who wait, and keeps nothing of what is over."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from executions import admission, leases, worker
from executions.models import Lane, Run, StepRun
from lightfield.kernel import sql
from lightfield.kernel.errors import PermanentStepError
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import a_published_workflow
from tests.scripted import ScriptedSlow, answering, installed
from tests.staging import (
    a_queued_step,
    a_run,
    everything,
    live,
    say,
    slow,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]

ONCE = {"max_attempts": 1}


@pytest.mark.parametrize("is_other_older", [True, False])
def test_continuation_gives_way_when_another_workflow_waits(
    bellboy: Bellboy, slow_step: ScriptedSlow, is_other_older: bool
) -> None:
    older, newer = [a_published_workflow(steps=[slow("one"), slow("two")]) for _ in range(2)]
    first = a_queued_step(workflow=newer if is_other_older else older)
    for workflow in (older, newer):  # more of its own wait as well
        a_run(workflow=workflow)

    Lane.objects.filter(name="http").update(width=1)  # there is no room beside the one in flight
    try:
        worker.execute([first.pk])
    finally:
        Lane.objects.filter(name="http").update(width=600)

    assert live(first.run).status == "ready"
    assert "admit" in bellboy.names()  # a thread beside it may have admitted the other by then
    bellboy.answer_all()
    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    assert len(slow_step.sent) == 6


def test_given_steps_that_came_one_by_one_when_a_worker_takes_them_then_it_admits_those_that_waited(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    """Nine messages of one step each filled the way; nobody else would look until a sweep."""
    workflow = a_published_workflow(steps=[slow("one")])
    for _ in range(12):
        a_run(workflow=workflow)
        admission.admit("http")
    on_their_way = [step.pk for step in StepRun.objects.filter(status="queued")]
    assert len(on_their_way) == 9

    for step_run_id in on_their_way:
        worker.execute([step_run_id])

    assert not StepRun.objects.filter(status="ready").exists()


def test_given_a_flood_that_waits_then_the_run_of_a_small_workflow_keeps_its_slot(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    """Admission would give the slot to it anyway: it has the least in flight."""
    small, flood = [a_published_workflow(steps=[slow("one"), slow("two")]) for _ in range(2)]
    for _ in range(3):
        a_queued_step(workflow=flood)
    first = a_queued_step(workflow=small)
    a_run(workflow=flood)

    worker.execute([first.pk])

    assert Run.objects.get(pk=first.run_id).status == "completed"
    assert len(slow_step.sent) == 2


def test_given_a_workflow_that_waits_at_its_own_limit_then_nobody_gives_way_to_it(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    """It could not take the slot."""
    flood = a_published_workflow(steps=[slow("one"), slow("two")])
    modest = a_published_workflow(steps=[slow("one")], settings={"concurrency": 1})
    a_queued_step(workflow=modest)
    first = a_queued_step(workflow=flood)
    a_queued_step(workflow=flood)
    a_run(workflow=modest)

    worker.execute([first.pk])

    assert Run.objects.get(pk=first.run_id).status == "completed"


def test_continuation_goes_on_while_only_the_own_workflow_waits(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    workflow = a_published_workflow(steps=[slow("one"), slow("two")])
    first = a_queued_step(workflow=workflow)
    a_run(workflow=workflow)

    worker.execute([first.pk])

    assert Run.objects.get(pk=first.run_id).status == "completed"


def test_a_continued_step_holds_the_slot_of_the_one_before(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    flying: list[int] = []

    def script(request: Any, context: Any) -> dict[str, Any]:
        flying.append(StepRun.objects.filter(status__in=["queued", "running"]).count())
        return {}

    slow_step.script = script
    worker.execute([a_queued_step(slow("one"), slow("two"), slow("three")).pk])

    assert flying == [1, 1, 1]


def test_a_continued_step_that_fails_fails_the_run(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    bad = slow("two") | {"config": {"value": "{{ one.missing }}"}}

    worker.execute([a_queued_step(slow("one"), bad, say()).pk])

    run = Run.objects.get()
    assert (run.status, run.error_code) == ("failed", "template.unresolved")
    assert [(s.status, s.attempts) for s in run.steps.all()] == [
        ("completed", 1),
        ("failed", 1),
        ("skipped", 0),
    ]


def test_a_fast_step_that_follows_is_rung_for(bellboy: Bellboy) -> None:
    step = a_queued_step(slow(), say())
    worker.execute([step.pk])

    assert bellboy.names()[-1] == "advance"
    assert bellboy.rung[-1].args == ([str(step.run_id)],)


def test_a_step_of_another_lane_that_follows_is_rung_for(bellboy: Bellboy) -> None:
    with installed("thinker", lane="ai"):
        step = a_queued_step(slow(), {"key": "think", "type": "thinker", "config": {}})
        worker.execute([step.pk])

        assert bellboy.rung[-1].args == ("ai",)
        bellboy.answer_all()
    assert Run.objects.get().status == "completed"


def test_a_slot_set_free_is_told_to_whoever_waits(bellboy: Bellboy) -> None:
    step = a_queued_step()
    sql.rows("UPDATE executions_lane SET width = 1 WHERE name = 'http'", {})
    try:
        waiting = a_queued_step()
        worker.execute([step.pk])
        assert ("http",) in [
            bell.args for bell in bellboy.rung
        ]  # a thread beside it may have admitted by then
        bellboy.answer_all()
    finally:
        sql.rows("UPDATE executions_lane SET width = 600 WHERE name = 'http'", {})
    waiting.refresh_from_db()
    assert waiting.status == "completed"


def test_one_message_of_several_steps_sends_them_side_by_side(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    together = threading.Barrier(3)
    slow_step.script = lambda request, context: {"place": together.wait(timeout=10)}
    steps = [a_queued_step() for _ in range(3)]

    worker.execute([step.pk for step in steps])

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}


def test_a_message_that_comes_eight_times_sends_once(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    step = a_queued_step()

    race(*[lambda: worker.execute([step.pk])] * 8)

    assert len(slow_step.sent) == 1


def test_no_lease_is_kept_for_what_is_over(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    answering(slow_step, {}, RuntimeError(), PermanentStepError("config.invalid"))
    for _ in range(3):
        worker.execute([a_queued_step(slow(retry=ONCE)).pk])
    before = everything()

    leases.keeper.beat()

    assert everything() == before
    assert leases.keeper._held == {}


def test_the_deadline_of_an_attempt_is_its_time_limit(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    before = time.monotonic()
    worker.execute([a_queued_step().pk])

    context = slow_step.sent[0][1]
    assert before + 30 <= context.deadline <= time.monotonic() + 30
    assert context.trace_id == Run.objects.get().trace_id
