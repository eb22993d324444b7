"""`settings.timeout_seconds`: a whole run's time, from its creation by the database's clock; then `run.timeout`."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.db import connection

from executions import engine, services, sweeper, tasks, worker
from executions.models import Attempt, Effect, Run
from lightfield.kernel.errors import TransientStepError
from tests.bellboy import Bellboy
from tests.concurrency import race, wait_until_alone
from tests.dying import AFTERWARDS, BEFORE_COMMIT, Mortals, mortals
from tests.factories import BY, a_published_workflow
from tests.scripted import ScriptedSlow
from tests.staging import a_queued_step, a_run, nap, say, slow, told
from workflows.models import Workflow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]


@pytest.fixture(scope="module")
def mortal(django_db_setup: None) -> Iterator[Mortals]:
    with mortals(str(connection.settings_dict["NAME"])) as found:
        yield found


def a_hurried_workflow(*steps: dict[str, Any], seconds: int = 60) -> Workflow:
    return a_published_workflow(steps=list(steps), settings={"timeout_seconds": seconds})


def seconds_allowed(run: Run) -> float:
    assert run.deadline_at is not None
    return (run.deadline_at - run.created_at).total_seconds()


def let_its_time_be_up(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(deadline_at="2000-01-01T00:00:00Z")


def swept(bellboy: Bellboy) -> list[str]:
    bellboy.lose_all()
    overdue = sweeper.sweep().overdue
    bellboy.answer_all(but=lambda bell: bell.task != "executions.expire_runs")
    return overdue


def test_the_time_counts_from_the_runs_creation_and_a_replay_has_all_of_it_again(bellboy: Bellboy) -> None:
    run = a_run(workflow=a_hurried_workflow(slow(), seconds=60))
    let_its_time_be_up(run)
    assert swept(bellboy) == [str(run.pk)]

    replay = services.replay_run(run_id=run.pk, by=BY)

    assert seconds_allowed(replay) == 60
    assert replay.created_at > run.created_at
    assert swept(bellboy) == []


def test_given_a_sleep_beyond_the_runs_end_then_it_ends_when_the_time_is_up_and_not_before(
    bellboy: Bellboy,
) -> None:
    run = a_run(workflow=a_hurried_workflow(nap(seconds=3600), say()))
    engine.advance([str(run.pk)])
    assert swept(bellboy) == []
    assert Run.objects.get(pk=run.pk).status == "waiting"

    let_its_time_be_up(run)
    swept(bellboy)

    run.refresh_from_db()
    assert (run.status, run.error_code) == ("failed", "run.timeout")
    assert [(step.status, step.error_code) for step in run.steps.all()] == [
        ("failed", "run.timeout"),
        ("skipped", None),
    ]


def test_given_a_retry_that_is_due_beyond_the_runs_end_then_it_is_not_tried_again(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        raise TransientStepError("http.unavailable", sent=True, answered=True, status_code=503)

    slow_step.script = script
    retry = {"base_seconds": 3600, "cap_seconds": 3600}
    step = a_queued_step(workflow=a_hurried_workflow(slow(retry=retry)))
    worker.execute([step.pk])
    let_its_time_be_up(step.run)
    swept(bellboy)

    assert (Run.objects.get().error_code, Attempt.objects.count()) == ("run.timeout", 1)
    assert Effect.objects.get().status == "abandoned", "what was refused is known to have had no effect"


def test_given_a_request_that_is_out_when_the_time_is_up_then_it_is_not_cut_and_its_answer_is_kept(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    seconds_left: list[float] = []

    def script(request: Any, context: Any) -> dict[str, Any]:
        seconds_left.append(context.deadline - time.monotonic())
        run = Run.objects.get(pk=context.run_id)
        let_its_time_be_up(run)
        tasks.expire_runs.apply(args=([str(run.pk)],))
        assert Effect.objects.get().status == "intent", "the timeout decides nothing while the lease is live"
        return {"status_code": 200}

    slow_step.script = script
    step = a_queued_step(workflow=a_hurried_workflow(slow(), seconds=1))
    worker.execute([step.pk])

    assert seconds_left[0] > 20, "its own limit, not what is left of the run's"
    assert Run.objects.get().error_code == "run.timeout"
    assert (Effect.objects.get().status, Effect.objects.get().answer) == ("done", {"status_code": 200})


def test_given_eight_that_end_it_at_once_then_it_is_told_once(bellboy: Bellboy) -> None:
    for _ in range(5):
        run = a_run(workflow=a_hurried_workflow(slow(), say()))
        let_its_time_be_up(run)

        race(*[partial(tasks.expire_runs.apply, args=([str(run.pk)],))] * 8)

        assert told(run) == ["run.created", "step.failed", "step.skipped", "run.failed"]


def test_given_an_outcome_and_the_timeout_at_once_then_one_of_them_holds(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    for _ in range(10):
        step = a_queued_step(workflow=a_hurried_workflow(slow()))
        let_its_time_be_up(step.run)

        race(
            partial(worker.execute, [step.pk]),
            partial(tasks.expire_runs.apply, args=([str(step.run_id)],)),
        )

        run = Run.objects.get(pk=step.run_id)
        assert (run.status, run.error_code) in (("completed", None), ("failed", "run.timeout"))
        bellboy.lose_all()


@pytest.mark.parametrize(("point", "status"), [(BEFORE_COMMIT, "pending"), (AFTERWARDS, "failed")])
def test_given_a_death_while_it_is_ended_then_it_is_ended_whole_or_not_yet(
    bellboy: Bellboy, mortal: Mortals, point: str, status: str
) -> None:
    run = a_run(workflow=a_hurried_workflow(slow(), say()))
    let_its_time_be_up(run)

    assert mortal.do("expire", run.pk, point=point) == -signal.SIGKILL
    wait_until_alone()

    assert Run.objects.get(pk=run.pk).status == status
    swept(bellboy)
    assert told(run) == ["run.created", "step.failed", "step.skipped", "run.failed"]
