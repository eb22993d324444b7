"""`settings.concurrency`: so many slow steps of a workflow at once, whichever lanes they are in and whoever works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from executions import admission, sweeper, worker
from executions.models import Run, StepRun
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import BY, a_published_workflow
from tests.scripted import ScriptedSlow, installed
from tests.staging import a_run, slow
from workflows import services
from workflows.models import Workflow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


@pytest.fixture(autouse=True)
def think() -> Iterator[ScriptedSlow]:
    """A step type on the other slow lane."""
    with installed("think", lane="ai") as step_type:
        yield step_type


def thought(key: str = "think") -> dict[str, Any]:
    return {"key": key, "type": "think", "config": {}}


def in_flight(workflow: Workflow) -> int:
    return StepRun.objects.filter(
        workflow=workflow, lane__in=("http", "ai"), status__in=("queued", "running")
    ).count()


def runs_in_both_lanes(workflow: Workflow, number: int) -> None:
    """So many runs; every other one has its step in the other lane, as a later version would have it."""
    for place in range(number):
        run = a_run(workflow=Workflow.objects.get(pk=workflow.pk))
        if place % 2:
            StepRun.objects.filter(run=run).update(lane="ai", type="think")


def publish(workflow: Workflow, **settings: Any) -> None:
    services.update_draft(workflow_id=workflow.pk, changes={"settings": settings}, by=BY)
    services.publish(workflow_id=workflow.pk, by=BY)


def test_the_limit_is_over_both_slow_lanes(slow_step: ScriptedSlow, bellboy: Bellboy) -> None:
    workflow = a_published_workflow(steps=[slow()], settings={"concurrency": 3})
    runs_in_both_lanes(workflow, 10)

    for lane in ("http", "ai", "http", "ai"):
        admission.admit(lane)

    assert in_flight(workflow) == 3


def test_given_admissions_to_both_lanes_at_once_then_the_limit_holds(
    slow_step: ScriptedSlow, bellboy: Bellboy
) -> None:
    """Each lane has its own lock: with that alone both would count before the other's admission."""
    for _ in range(10):
        workflow = a_published_workflow(steps=[slow()], settings={"concurrency": 3})
        runs_in_both_lanes(workflow, 12)

        race(*[lambda: admission.fill("http"), lambda: admission.fill("ai")] * 3)

        assert in_flight(workflow) == 3
        StepRun.objects.filter(status="queued").update(status="ready")
        Run.objects.filter(status="pending").update(deadline_at="2000-01-01T00:00:00Z")
        bellboy.lose_all()
        sweeper.sweep()
        bellboy.answer_all(but=lambda bell: bell.task != "executions.expire_runs")


def test_a_workflow_without_a_limit_is_not_counted_in_the_other_lane(
    slow_step: ScriptedSlow, bellboy: Bellboy
) -> None:
    workflow = a_published_workflow(steps=[slow()])
    runs_in_both_lanes(workflow, 10)

    assert (admission.admit("http"), admission.admit("ai")) == (5, 5)


def test_no_more_work_at_once_than_that_with_several_workers_and_continuation(
    slow_step: ScriptedSlow, think: ScriptedSlow, bellboy: Bellboy
) -> None:
    """Real admissions, claims and continuations by six threads; each step notes how many are at work beside it."""
    steps = [slow("one"), slow("two"), thought("three"), slow("four")]
    workflow = a_published_workflow(steps=steps, settings={"concurrency": 2})
    at_work, most, lock = 0, 0, threading.Lock()

    def script(request: Any, context: Any) -> dict[str, Any]:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        with lock:
            at_work -= 1
        return {}

    slow_step.script = think.script = script
    runs = [a_run(workflow=workflow) for _ in range(12)]
    seen: list[int] = []

    def work(number: int) -> None:
        try:
            while Run.objects.exclude(status="completed").exists():
                lane = ("http", "ai")[number % 2]
                admission.fill(lane)
                seen.append(in_flight(workflow))
                queued = StepRun.objects.filter(lane=lane, status="queued").values_list("pk", flat=True)
                worker.execute([*queued[:2]])
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))

    assert {run.status for run in Run.objects.filter(pk__in=[run.pk for run in runs])} == {"completed"}
    assert most <= 2
    assert max(seen) == 2


def test_the_active_versions_number_counts_also_for_runs_of_older_ones(
    slow_step: ScriptedSlow, bellboy: Bellboy
) -> None:
    workflow = a_published_workflow(steps=[slow()], settings={"concurrency": 2})
    for _ in range(8):
        a_run(workflow=workflow)
    assert admission.admit("http") == 2

    publish(workflow, concurrency=5)
    assert admission.admit("http") == 3

    publish(workflow, concurrency=1)  # nothing that is in flight is stopped
    assert (admission.admit("http"), in_flight(workflow)) == (0, 5)
    StepRun.objects.filter(pk__in=StepRun.objects.filter(status="queued")[:4].values("pk")).update(
        status="ready"
    )
    assert (admission.admit("http"), in_flight(workflow)) == (0, 1)

    publish(workflow)
    assert admission.admit("http") == 7


def test_given_no_limit_anywhere_then_an_admission_locks_its_own_lane_alone(
    slow_step: ScriptedSlow, bellboy: Bellboy
) -> None:
    def locked() -> int:
        return len(sql.rows(admission.LOCK_LANE, {"lane": "http"}))

    a_published_workflow(steps=[slow()])
    assert locked() == 1
    a_published_workflow(steps=[slow()], settings={"concurrency": 9})
    assert locked() == 2
