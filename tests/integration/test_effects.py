"""The ledger of effects: what is intended before anything is sent, and what is believed afterwards."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.db import connection

from executions import admission, cells, intents, worker
from executions.models import Attempt, Effect, Run, StepRun
from executions.outcomes import MOST_LOSSES
from lightfield.kernel import sql
from lightfield.kernel.errors import PermanentStepError, StepError, TransientStepError
from tests.bellboy import Bellboy
from tests.scripted import ScriptedSlow, answering, installed
from tests.staging import (
    a_claimed_step,
    a_queued_step,
    claim,
    end_lease,
    intend,
    slow,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]

ONCE = {"max_attempts": 1}


def try_on(step: StepRun, times: int) -> StepRun:
    """So many attempts, each as soon as it may be."""
    for _ in range(times):
        sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp() WHERE status = 'waiting'", {})
        admission.admit("http")
        worker.execute([step.pk])
    step.refresh_from_db()
    return step


# --- before anything is sent ----------------------------------------------------------------------------


def test_the_intent_is_committed_before_the_request_leaves(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    seen: list[Any] = []

    def script(request: Any, context: Any) -> dict[str, Any]:
        effect = Effect.objects.get()
        seen.append((effect.status, effect.request, effect.key, Attempt.objects.get().intent_at is not None))
        return {"status_code": 200}

    slow_step.script = script
    step = a_queued_step()
    worker.execute([step.pk])

    assert seen == [("intent", {"value": 7}, f"{step.run_id}:call", True)]
    effect = Effect.objects.get()
    assert (effect.status, effect.answer, effect.fence) == ("done", {"status_code": 200}, 1)
    assert bytes(effect.request_digest) == hashlib.sha256(b'{"value":7}').digest()


def test_while_a_request_is_out_its_thread_holds_no_connection(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    held: list[bool] = []

    def script(request: Any, context: Any) -> dict[str, Any]:
        held.append(connection.connection is not None)
        return {}

    slow_step.script = script
    worker.execute([a_queued_step(slow("one"), slow("two")).pk])

    assert held == [False, False]


def test_an_intent_may_be_repeated_and_gives_each_send_a_full_lease(bellboy: Bellboy) -> None:
    step = a_claimed_step()
    assert intend(step) == {step.step_run_id: {"value": 7}}
    end_lease(step.step_run_id)

    assert intend(step) == {step.step_run_id: {"value": 7}}

    row = sql.row("SELECT lease_expires_at > clock_timestamp() FROM executions_steprun", {})
    assert row == (True,)
    assert Effect.objects.count() == 1


def test_a_later_attempt_sends_what_the_first_one_froze(bellboy: Bellboy) -> None:
    first = a_claimed_step()
    intend(first, value="as rendered first")
    end_lease(first.step_run_id)
    second = claim(first.step_run_id, in_cell=True)
    assert second.request == {"value": "as rendered first"}

    assert intend(second, value="rendered again") == {second.step_run_id: {"value": "as rendered first"}}
    assert Effect.objects.get().fence == second.fence


def test_an_effect_that_is_decided_gives_no_leave_to_send(bellboy: Bellboy) -> None:
    step = a_claimed_step()
    intend(step)
    Effect.objects.update(status="done", decided_at=Run.objects.get().created_at)

    assert intend(step) == {}
    Effect.objects.all().delete()
    sql.rows("UPDATE executions_attempt SET intent_at = NULL", {})  # as it never happens


def test_in_a_batch_of_intents_those_that_were_lost_are_missing(bellboy: Bellboy) -> None:
    steps = [a_claimed_step() for _ in range(3)]
    end_lease(steps[1].step_run_id)
    claim(steps[1].step_run_id, in_cell=True)
    wanted = [
        {"id": s.step_run_id, "run_id": s.run_id, "fence": s.fence, "key": s.effect_key, "request": {}, "digest": ""}
        for s in steps
    ]  # fmt: skip

    assert set(intents.commit_intents(wanted)) == {steps[0].step_run_id, steps[2].step_run_id}


def test_given_a_worker_paused_beyond_its_lease_when_it_wakes_then_it_sends_nothing(
    bellboy: Bellboy, slow_step: ScriptedSlow, settings: Any
) -> None:
    """The owner stops before its lease does, by its own clock: here the lease is over when it is given."""
    settings.LIGHTFIELD_LEASE_SECONDS = 0
    step = a_queued_step()

    worker.execute([step.pk])

    assert slow_step.sent == []
    row = StepRun.objects.get()
    assert (row.status, row.attempts) == ("running", 1)  # the sweeper will find it


def test_given_a_batch_taken_over_before_its_intents_then_nothing_of_it_is_sent(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    step = a_queued_step()
    freeze = slow_step.freeze

    def freeze_for_too_long(config: Any) -> dict[str, Any]:
        end_lease(step.pk)
        claim(step.pk, worker="heir", in_cell=True)
        return freeze(config)

    slow_step.freeze = freeze_for_too_long  # type: ignore[method-assign]
    worker.execute([step.pk])

    assert slow_step.sent == []
    assert StepRun.objects.get().owner == "heir"


# --- what came of it ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "outcomes", "believed"),
    [
        ([{}], ["ok"], "done"),
        ([TransientStepError("http.timeout", sent=True), {}], ["unknown", "ok"], "done"),
        ([TransientStepError("http.connect_failed")] * 2, ["refused", "refused"], "abandoned"),
        ([TransientStepError("http.timeout", sent=True), TransientStepError("http.connect_failed")], ["unknown", "refused"], "unknown"),
        ([TransientStepError("http.unavailable", sent=True, answered=True)] * 2, ["refused", "refused"], "abandoned"),
        ([PermanentStepError("http.client_error", sent=True, answered=True, status_code=400)], ["permanent"], "done"),
        ([TransientStepError("http.timeout", sent=True), PermanentStepError("http.client_error", sent=True, answered=True)], ["unknown", "permanent"], "done"),
        ([PermanentStepError("http.invalid_answer", sent=True)], ["unknown"], "unknown"),
        ([PermanentStepError("egress.denied_address")], ["permanent"], "abandoned"),
        ([RuntimeError("what?"), {}], ["unknown", "ok"], "done"),
    ],
)  # fmt: skip
def test_what_is_believed_of_an_effect(
    bellboy: Bellboy, slow_step: ScriptedSlow, answers: list[Any], outcomes: list[str], believed: str
) -> None:
    answering(slow_step, *answers)

    try_on(a_queued_step(slow(retry={"max_attempts": 2})), times=len(answers))

    assert list(Attempt.objects.order_by("number").values_list("outcome", flat=True)) == outcomes
    assert Effect.objects.get().status == believed
    assert len(slow_step.sent) == len(answers)
    assert len({context.idempotency_key for _, context in slow_step.sent}) == 1
    assert [context.attempt for _, context in slow_step.sent] == list(range(1, len(answers) + 1))


def test_an_effect_stays_intended_between_two_attempts(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    answering(slow_step, TransientStepError("http.timeout", sent=True))

    step = try_on(a_queued_step(), times=1)

    assert step.status == "waiting"
    assert Effect.objects.get().status == "intent"


def test_an_undeclared_error_is_retried_and_shown(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    answering(slow_step, ZeroDivisionError("by zero"))

    step = try_on(a_queued_step(), times=1)

    assert (step.status, step.error_code) == ("waiting", "step.unexpected")
    entry = step.run.timeline.get(type="step.retrying")
    assert entry.metadata["message"] == "ZeroDivisionError: by zero"


def test_a_status_that_the_author_listed_is_retried(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    error = PermanentStepError("http.server_error", sent=True, answered=True, status_code=500)
    answering(slow_step, error, {"status_code": 200})

    step = try_on(a_queued_step(slow(retry={"retry_on_status": [500]})), times=2)

    assert (step.status, step.attempts) == ("completed", 2)


@pytest.mark.parametrize(("wish", "least"), [(600.0, 600), (90_000.0, 3600)])
def test_retry_after_is_a_floor(bellboy: Bellboy, slow_step: ScriptedSlow, wish: float, least: int) -> None:
    answering(slow_step, TransientStepError("http.throttled", sent=True, answered=True, retry_after=wish))

    step = try_on(a_queued_step(), times=1)

    entry = step.run.timeline.get(type="step.retrying")
    assert (step.due_at - entry.at).total_seconds() == pytest.approx(least)
    assert entry.metadata["delay_seconds"] == least


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (TransientStepError("http.connection_lost", sent=True), True),
        (TransientStepError("http.connect_failed"), False),
        (TransientStepError("http.unavailable", sent=True, answered=True), False),
    ],
)
def test_on_unknown_fail_ends_only_what_may_have_happened(
    bellboy: Bellboy, slow_step: ScriptedSlow, error: StepError, ends: bool
) -> None:
    answering(slow_step, error)

    step = try_on(a_queued_step(slow() | {"config": {"on_unknown": "fail"}}), times=1)

    assert step.status == ("failed" if ends else "waiting")
    assert (step.error_code == "http.outcome_unknown") is ends
    assert Effect.objects.get().status == ("unknown" if ends else "intent")


def test_a_request_that_cannot_be_rendered_fails_before_any_intent(bellboy: Bellboy) -> None:
    step = a_queued_step(payload={})
    worker.execute([step.pk])

    step.refresh_from_db()
    assert (step.status, step.error_code, step.attempts) == ("failed", "template.unresolved", 1)
    assert Effect.objects.count() == 0


def test_a_step_type_that_was_uninstalled_fails_its_steps(bellboy: Bellboy) -> None:
    with installed("gone", lane="http"):
        step = a_queued_step({"key": "one", "type": "gone", "config": {}})
    worker.execute([step.pk])

    step.refresh_from_db()
    assert (step.status, step.error_code) == ("failed", "config.missing_step_type")


def test_given_an_outcome_that_postgresql_refuses_then_the_step_ends_after_three_tries_alone(
    bellboy: Bellboy,
) -> None:
    """Nobody foresaw it; what cannot be written must not be tried for ever."""
    step = a_queued_step()
    sql.rows("ALTER TABLE executions_steprun ADD CONSTRAINT odd CHECK (output IS NULL) NOT VALID", {})
    try:
        worker.execute([step.pk])
        for _ in range(MOST_LOSSES):
            end_lease(step.pk)
            cells.run_here([step.pk], "http")
    finally:
        sql.rows("ALTER TABLE executions_steprun DROP CONSTRAINT odd", {})

    step.refresh_from_db()
    assert (step.status, step.error_code, step.lost_alone) == ("failed", "step.worker_lost", 0)
    assert Effect.objects.get().status == "unknown"
