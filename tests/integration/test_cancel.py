"""Cancel needs no worker, works in every state, and is never half done."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import DataError, transaction

from executions import admission, engine, reports, services, tasks, worker
from executions.claims import live_step
from executions.models import Attempt, Effect, Run, StepRun
from executions.outcomes import Retry
from executions.settling import settle
from executions.states import AttemptOutcome
from lightfield.access.models import AuditEntry
from lightfield.kernel.errors import LostRace, RequestRefused
from tests.bellboy import Bellboy
from tests.concurrency import race, wait_until_blocked
from tests.factories import BY, a_published_workflow
from tests.scripted import ScriptedSlow
from tests.staging import (
    a_claimed_step,
    a_queued_step,
    a_run,
    broken_promises,
    claim,
    end_lease,
    intend,
    nap,
    say,
    slow,
    told,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]

REFUSAL = {"code": "http.unavailable", "message": "m", "retryable": True, "metadata": {}}


def cancel(run_id: Any) -> Run:
    return services.cancel_run(run_id=run_id, by=BY)


def live_steps() -> int:
    return StepRun.objects.filter(status__in=["ready", "queued", "running", "waiting"]).count()


def test_a_ready_step(bellboy: Bellboy) -> None:
    run = cancel(a_run(slow(), say()).pk)

    assert (run.status, run.error_code, run.started_at) == ("cancelled", None, None)
    assert run.finished_at is not None
    assert [(step.key, step.status, step.attempts) for step in run.steps.all()] == [
        ("call", "cancelled", 0),
        ("say", "skipped", 0),
    ]
    assert told(run) == ["run.created", "step.cancelled", "step.skipped", "run.cancelled"]
    entry = run.timeline.get(type="step.cancelled")
    assert (entry.from_status, entry.to_status, entry.attempt) == ("ready", "cancelled", None)
    last = run.timeline.get(type="run.cancelled")
    assert (last.from_status, last.metadata) == ("pending", {"error_code": "run.cancelled", "by": BY})


def test_a_queued_step(bellboy: Bellboy) -> None:
    step = a_queued_step()

    run = cancel(step.run_id)
    bellboy.answer_all()

    assert run.timeline.get(type="step.cancelled").from_status == "ready"
    assert Attempt.objects.count() == 0


def test_a_sleeping_step(bellboy: Bellboy) -> None:
    run = a_run(nap())
    engine.advance([str(run.pk)])

    run = cancel(run.pk)

    assert run.steps.get().status == "cancelled"
    assert run.timeline.get(type="step.cancelled").from_status == "waiting"
    assert run.timeline.get(type="run.cancelled").from_status == "running"
    assert Attempt.objects.get().outcome == "ok"


def test_a_running_step_before_its_intent(bellboy: Bellboy) -> None:
    step = a_claimed_step()

    cancel(step.run_id)

    assert Attempt.objects.get().outcome == "cancelled"
    assert intend(step) == {}  # its worker gets no leave to send
    assert Effect.objects.count() == 0


def test_a_running_step_after_its_intent_leaves_the_effect_to_its_owner(bellboy: Bellboy) -> None:
    """The request may leave a moment later: whoever sends it tells, or the sweep says that nobody knows."""
    step = a_claimed_step()
    intend(step)

    run = cancel(step.run_id)

    assert Attempt.objects.get().outcome == "unknown"
    assert Effect.objects.get().status == "intent"
    assert run.steps.get().lease_expires_at is not None  # how long its owner may still send


@pytest.mark.parametrize(("intends", "believed"), [(True, ["unknown"]), (False, [])])
def test_a_running_step_whose_worker_is_dead(bellboy: Bellboy, intends: bool, believed: list[str]) -> None:
    step = a_claimed_step()
    if intends:
        intend(step)
    end_lease(step.step_run_id)

    cancel(step.run_id)

    assert list(Effect.objects.values_list("status", flat=True)) == believed


@pytest.mark.parametrize(
    ("outcome", "believed"), [(AttemptOutcome.REFUSED, "abandoned"), (AttemptOutcome.UNKNOWN, "unknown")]
)
@pytest.mark.parametrize("is_queued", [False, True])
def test_a_step_between_two_attempts(
    bellboy: Bellboy, outcome: AttemptOutcome, believed: str, is_queued: bool
) -> None:
    step = a_claimed_step()
    intend(step)
    settle(reports.retried(step, Retry(0.0, REFUSAL, outcome)))
    if is_queued:
        admission.admit("http")

    run = cancel(step.run_id)

    assert Effect.objects.get().status == believed
    assert run.timeline.get(type="step.cancelled").from_status == "waiting"
    assert Attempt.objects.get().outcome == outcome


def test_again_on_a_cancelled_run_changes_nothing(bellboy: Bellboy) -> None:
    run = cancel(a_run().pk)
    again = cancel(run.pk)

    assert again.seq == run.seq
    assert AuditEntry.objects.filter(action="run.cancelled").count() == 1


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_run_that_ended_cannot_be_cancelled(bellboy: Bellboy, slow_step: ScriptedSlow, status: str) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        if status == "failed":
            raise RuntimeError("no")
        return {}

    slow_step.script = script
    step = a_queued_step(slow(retry={"max_attempts": 1}))
    worker.execute([step.pk])

    with pytest.raises(RequestRefused, match=status) as refused:
        cancel(step.run_id)

    assert refused.value.code == "run.illegal_transition"
    assert Run.objects.get().status == status


def test_a_run_that_does_not_exist(bellboy: Bellboy) -> None:
    with pytest.raises(Run.DoesNotExist):
        cancel(uuid4())
    assert AuditEntry.objects.filter(action="run.cancelled").count() == 0


def test_who_cancelled_is_in_the_audit_trail_and_the_lanes_are_rung(bellboy: Bellboy) -> None:
    run = a_run()
    cancel(run.pk)

    entry = AuditEntry.objects.get(action="run.cancelled")
    assert (entry.actor, entry.subject) == (BY, str(run.pk))
    assert [bell.args for bell in bellboy.rung] == [("http",), ("ai",)]


def test_given_a_deed_that_cannot_be_told_then_it_is_not_done(bellboy: Bellboy) -> None:
    run = a_run()

    with pytest.raises(DataError):
        services.cancel_run(run_id=run.pk, by="a name longer than any " * 100)

    run.refresh_from_db()
    assert run.status == "pending"


def test_of_eight_cancels_one_is_written(bellboy: Bellboy) -> None:
    step = a_claimed_step()

    runs = race(*[lambda: cancel(step.run_id)] * 8)

    assert {run.status for run in runs} == {"cancelled"}
    assert told(runs[0]).count("run.cancelled") == 1


def test_given_fifty_cancels_that_race_the_outcome_then_no_ended_run_has_a_live_step(
    bellboy: Bellboy,
) -> None:
    """A cancel in one statement would not see the next step, inserted by the settlement that it waited for."""
    workflow = a_published_workflow(steps=[slow("one"), slow("two"), say()])
    for number in range(50):
        step = claim(a_queued_step(workflow=workflow).pk)
        intend(step)
        outcome = reports.completed(
            step, {"ok": True}, effect="done", may_continue=number % 2 == 0, worker="w"
        )

        settled, cancelled = race(partial(settle, outcome), partial(cancel, step.run_id))

        assert cancelled.status == "cancelled"
        assert not isinstance(settled, Exception) or isinstance(settled, LostRace)
    assert broken_promises() == {}
    assert live_steps() == 0


def test_given_a_run_that_is_locked_when_cancelled_then_the_cancel_holds_no_step_while_it_waits(
    bellboy: Bellboy,
) -> None:
    """First the run, then its step, as everybody: the other way round two would wait for each other."""
    step = a_claimed_step()
    is_locked = threading.Event()

    def holder() -> int:
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=step.run_id)
            is_locked.set()
            wait_until_blocked()
            return len(StepRun.objects.select_for_update(nowait=True).filter(pk=step.step_run_id))

    def canceller() -> Run:
        assert is_locked.wait(10)
        return cancel(step.run_id)

    found, run = race(holder, canceller)

    assert found == 1
    assert run.status == "cancelled"


def test_given_cancels_that_race_claims_then_a_run_is_never_both(bellboy: Bellboy) -> None:
    workflow = a_published_workflow(steps=[slow()])
    for _ in range(20):
        step = a_queued_step(workflow=workflow)
        race(
            partial(tasks.execute_steps.apply, args=([step.pk],)),
            partial(cancel, step.run_id),
        )
    assert set(Run.objects.values_list("status", flat=True)) <= {"completed", "cancelled"}


def test_given_cancels_that_race_admission_then_nothing_stays_in_the_window(bellboy: Bellboy) -> None:
    workflow = a_published_workflow(steps=[slow()])
    for _ in range(20):
        run = a_run(workflow=workflow)
        race(partial(admission.admit, "http"), partial(cancel, run.pk))
    assert set(StepRun.objects.values_list("status", flat=True)) == {"cancelled"}


def test_given_a_run_cancelled_while_a_fast_step_is_rendered_then_its_outcome_is_dropped(
    bellboy: Bellboy,
) -> None:
    run = a_run(say())
    step = live_step(str(run.pk))
    assert step is not None
    outcome = engine.outcome_of(step)
    cancel(run.pk)

    with pytest.raises(LostRace):
        settle(outcome)
    assert engine.advance([str(run.pk)]) == set()


def test_a_worker_that_is_sending_finishes_in_peace(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    """Its slot is free at once; what it has in flight is told to the ledger when it comes back."""
    sending, may_answer = threading.Event(), threading.Event()

    def script(request: Any, context: Any) -> dict[str, Any]:
        sending.set()
        assert may_answer.wait(10)
        return {"status_code": 200}

    slow_step.script = script
    step = a_queued_step(slow("one"), slow("two"))

    def canceller() -> Run:
        assert sending.wait(10)
        run = cancel(step.run_id)
        may_answer.set()
        return run

    race(lambda: worker.execute([step.pk]), canceller)

    assert Run.objects.get().status == "cancelled"
    assert Effect.objects.get().status == "done"
    assert live_steps() == 0
