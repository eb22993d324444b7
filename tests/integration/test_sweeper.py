"""The sweeper finds from the rows whatever a lost message should have done."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import transaction

from executions import admission, sweeper, tasks
from executions.models import Lane, Run, StepRun
from lightfield.kernel import bells, sql
from lightfield.kernel.errors import TransientStepError
from tests.bellboy import TASKS, Bellboy
from tests.concurrency import race
from tests.factories import a_published_workflow, an_event
from tests.scripted import ScriptedSlow
from tests.staging import (
    a_claimed_step,
    a_queued_step,
    a_run,
    answer_with_cells_here,
    end_lease,
    let_time_pass,
    live,
    nap,
    say,
    slow,
    told,
)
from triggers.models import OutboxEvent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]


def rung_at(seconds_ago: float, **columns: Any) -> None:
    StepRun.objects.update(**columns)
    sql.rows(
        "UPDATE executions_steprun SET rung_at = clock_timestamp() - make_interval(secs => %(age)s::float8)",
        {"age": seconds_ago},
    )


@pytest.mark.parametrize("heard", range(12))
def test_given_all_messages_lost_after_so_many_heard_then_the_run_still_completes(
    bellboy: Bellboy, slow_step: ScriptedSlow, heard: int
) -> None:
    errors = iter([TransientStepError("http.timeout", sent=True)])

    def script(request: Any, context: Any) -> dict[str, Any]:
        if context.step_key == "flaky":
            for error in errors:
                raise error
        return {}

    slow_step.script = script
    steps = [say(), slow("one"), slow("flaky"), nap(), say("again"), slow("last")]
    event = an_event(a_published_workflow(steps=steps), payload={"n": 1})
    bells.ring_dispatch(event.shard)
    for _ in range(heard):
        if bellboy.waiting:
            answer(bellboy.waiting.pop(0))
    bellboy.lose_all()

    for _ in range(12):
        let_time_pass()
        sweeper.sweep()
        answer_with_cells_here(bellboy)

    run = Run.objects.get(event=event)
    assert run.status == "completed"
    assert told(run).count("run.completed") == 1


def answer(bell: bells.Bell) -> None:
    TASKS[bell.task].apply(args=bell.args)


def test_an_idle_system_rings_nothing(bellboy: Bellboy) -> None:
    assert sweeper.sweep() == sweeper.Swept()
    assert bellboy.rung == []


def test_an_event_just_captured_is_its_own_bells_business(bellboy: Bellboy) -> None:
    event = an_event(a_published_workflow(steps=[say()]))
    assert sweeper.sweep().shards == []

    let_time_pass()
    assert sweeper.sweep().shards == [event.shard]
    assert [(bell.args, bell.forced) for bell in bellboy.rung] == [((event.shard,), True)]


def test_shards_with_pending_events_are_found_each_once(bellboy: Bellboy) -> None:
    workflow = a_published_workflow(steps=[say()])
    for shard in (3, 9, 3, 11):
        an_event(workflow, shard=shard)
    OutboxEvent.objects.filter(shard=11).update(status="poison")
    let_time_pass()

    assert sweeper.sweep().shards == [3, 9]


def test_a_ready_slow_step_is_admitted_if_the_window_has_room(bellboy: Bellboy) -> None:
    a_queued_step()
    a_run()
    Lane.objects.filter(name="http").update(width=1)
    try:
        assert sweeper.sweep().lanes == []
        Lane.objects.filter(name="http").update(width=2)
        assert sweeper.sweep().lanes == ["http"]
    finally:
        Lane.objects.filter(name="http").update(width=600)


@pytest.mark.parametrize(
    ("rings", "seconds", "is_rung"),
    [(0, 4, False), (0, 6, True), (1, 9, False), (1, 11, True), (3, 39, False), (3, 41, True), (9, 59, False), (9, 61, True), (1000, 61, True)],
)  # fmt: skip
def test_a_queued_step_that_nobody_claims_is_rung_at_growing_distances(
    bellboy: Bellboy, rings: int, seconds: float, is_rung: bool
) -> None:
    step = a_queued_step()
    rung_at(seconds, rings=rings)

    assert sweeper.sweep().queued == ([step.pk] if is_rung else [])


@pytest.mark.parametrize(
    ("rings", "seconds", "is_rung"), [(1, 1.9, False), (1, 2.5, True), (3, 7.5, False), (3, 8.5, True), (9, 59, False), (9, 61, True)]
)  # fmt: skip
def test_a_step_that_lost_its_worker_is_rung_for_soon_again(
    bellboy: Bellboy, rings: int, seconds: float, is_rung: bool
) -> None:
    """The dead worker may only have been stopped, and its open connection have taken the bell."""
    step = a_claimed_step()
    end_lease(step.step_run_id)
    rung_at(seconds, rings=rings)

    assert sweeper.sweep().expired == ([step.step_run_id] if is_rung else [])


def test_moving_on_ends_the_growing_distances(bellboy: Bellboy) -> None:
    step = a_queued_step(slow(), say())
    rung_at(100, rings=4)
    sweeper.sweep()
    assert StepRun.objects.get().rings == 5

    tasks.execute_steps.apply(args=([step.pk],))

    assert list(StepRun.objects.order_by("pk").values_list("rings", "rung_at")) == [(0, None), (0, None)]


def test_a_lease_counts_until_its_owner_has_surely_stopped(bellboy: Bellboy, settings: Any) -> None:
    settings.LIGHTFIELD_LEASE_SECONDS = 60
    step = a_claimed_step()
    for seconds, found in ((5, []), (11, [step.step_run_id])):
        sql.rows(
            "UPDATE executions_steprun SET lease_expires_at = clock_timestamp() - make_interval(secs => %(s)s::float8)",
            {"s": seconds},
        )
        assert sweeper.sweep().expired == found


def test_of_two_sweeps_at_once_one_rings_each_step(bellboy: Bellboy) -> None:
    for _ in range(5):
        end_lease(a_claimed_step().step_run_id)

    swept = race(*[sweeper.sweep] * 4)

    assert sum(len(found.expired) for found in swept) == 5


def test_a_row_that_somebody_has_locked_is_left_for_the_next_sweep(bellboy: Bellboy) -> None:
    held, free = a_claimed_step(), a_claimed_step()
    for step in (held, free):
        end_lease(step.step_run_id)
    is_locked, may_end = threading.Event(), threading.Event()

    def holder() -> None:
        with transaction.atomic():
            StepRun.objects.select_for_update().get(pk=held.step_run_id)
            is_locked.set()
            assert may_end.wait(10)

    def sweep() -> list[int]:
        assert is_locked.wait(10)
        swept = sweeper.sweep()
        may_end.set()
        return swept.expired

    assert race(holder, sweep) == [None, [free.step_run_id]]


def test_a_run_over_its_timeout_fails_wherever_it_stands(bellboy: Bellboy) -> None:
    runs = [a_run(nap(), say()), a_run(slow()), Run.objects.get(pk=a_claimed_step().run_id)]
    tasks.advance.apply(args=([str(runs[0].pk)],))
    Run.objects.update(deadline_at="2000-01-01T00:00:00Z")
    in_time = a_run()
    bellboy.lose_all()

    assert sorted(sweeper.sweep().overdue) == sorted(str(run.pk) for run in runs)
    bellboy.answer_all(but=lambda bell: bell.task != "executions.expire_runs")

    for run in runs:
        run.refresh_from_db()
        assert (run.status, run.error_code) == ("failed", "run.timeout")
        assert told(run)[-1] == "run.failed"
        assert "step.failed" in told(run)
    assert [step.status for step in runs[0].steps.all()] == ["failed", "skipped"]
    in_time.refresh_from_db()
    assert in_time.status == "pending"


def test_sweeping_tells_nothing(bellboy: Bellboy) -> None:
    """The sweeper only rings: runs are moved by those who hear it."""
    run = a_run(nap())
    queued = a_queued_step()
    let_time_pass()
    before = told(run), told(queued.run)

    sweeper.sweep()

    assert (told(run), told(queued.run)) == before
    assert live(run).status == "ready"


def test_the_messages_of_queued_steps_are_batched_and_kept_apart_by_lane(bellboy: Bellboy) -> None:
    Lane.objects.filter(name="http").update(most_queued=100)
    try:
        ids = [a_queued_step().pk for _ in range(10)]
    finally:
        Lane.objects.filter(name="http").update(most_queued=16)
    StepRun.objects.filter(pk=ids[0]).update(lane="ai")
    StepRun.objects.filter(pk=ids[1]).update(quarantined=True)
    bellboy.rung.clear()
    let_time_pass()

    sweeper.sweep()

    rung = {(bell.task.partition(".")[2], bell.queue, len(bell.args[0])) for bell in bellboy.rung}
    assert rung == {("execute_steps", "ai", 1), ("execute_steps", "http", 8), ("execute_in_cell", "http", 1)}


def test_admission_after_a_sweep_counts_what_flies(bellboy: Bellboy) -> None:
    a_run()
    sweeper.sweep()
    bellboy.answer_all()

    assert Run.objects.get().status == "completed"
    assert admission.admit("http") == 0
