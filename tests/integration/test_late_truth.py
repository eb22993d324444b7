"""A run ended while a request was out. What becomes of its effect: the owner's word, or the sweep's."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest

from executions import ending, services, sweeper, tasks, worker
from executions.models import Effect, Run, StepRun
from lightfield.kernel import sql
from lightfield.kernel.errors import PermanentStepError, StepError, TransientStepError
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import BY
from tests.scripted import ScriptedSlow
from tests.staging import a_claimed_step, a_queued_step, claim, end_lease, everything, intend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]


def end_while_sending(slow_step: ScriptedSlow, answer: dict[str, Any] | StepError, *, how: Any) -> StepRun:
    def script(request: Any, context: Any) -> dict[str, Any]:
        how(context.run_id)
        if isinstance(answer, StepError):
            raise answer
        return answer

    slow_step.script = script
    step = a_queued_step()
    worker.execute([step.pk])
    step.refresh_from_db()
    return step


def cancel(run_id: Any) -> None:
    services.cancel_run(run_id=run_id, by=BY)


def time_out(run_id: Any) -> None:
    Run.objects.filter(pk=run_id).update(deadline_at="2000-01-01T00:00:00Z")
    tasks.expire_runs.apply(args=([str(run_id)],))


@pytest.mark.parametrize(("how", "status"), [(cancel, "cancelled"), (time_out, "failed")])
def test_given_an_answer_that_comes_after_the_end_then_the_effect_is_done(
    bellboy: Bellboy, slow_step: ScriptedSlow, how: Any, status: str
) -> None:
    step = end_while_sending(slow_step, {"status_code": 201}, how=how)

    effect = Effect.objects.get()
    assert (effect.status, effect.answer) == ("done", {"status_code": 201})
    assert step.status == status
    assert step.output is None


def test_a_refusal_that_comes_after_the_end_is_final_too(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    refusal = PermanentStepError("http.client_error", sent=True, answered=True, status_code=422)

    end_while_sending(slow_step, refusal, how=cancel)

    effect = Effect.objects.get()
    assert (effect.status, effect.answer) == ("done", {"status_code": 422})


@pytest.mark.parametrize(
    "error",
    [
        TransientStepError("http.unavailable", sent=True, answered=True, status_code=503),
        TransientStepError("http.connection_lost", sent=True),
    ],
)
def test_an_answer_that_settles_nothing_leaves_the_effect_to_the_sweep(
    bellboy: Bellboy, slow_step: ScriptedSlow, error: StepError
) -> None:
    end_while_sending(slow_step, error, how=cancel)

    assert Effect.objects.get().status == "intent"


def test_given_an_owner_that_never_came_back_when_its_lease_is_over_then_nobody_will_know(
    bellboy: Bellboy,
) -> None:
    step = a_claimed_step()
    intend(step)
    cancel(step.run_id)
    assert not sweeper.sweep().has_undecided_effects  # it may still tell
    assert sweeper.settle_effects() == 0

    end_lease_of_ended(step.step_run_id)
    assert sweeper.sweep().has_undecided_effects
    bellboy.answer_all()

    assert Effect.objects.get().status == "unknown"
    assert not sweeper.sweep().has_undecided_effects


def end_lease_of_ended(step_run_id: int) -> None:
    """Ended steps are write-once: only with the trigger off can a test let time pass for one."""
    sql.rows("ALTER TABLE executions_steprun DISABLE TRIGGER USER", {})
    end_lease(step_run_id)
    sql.rows("ALTER TABLE executions_steprun ENABLE TRIGGER USER", {})


def test_a_forged_message_decides_no_effect_before_its_time(bellboy: Bellboy) -> None:
    live, ended = a_claimed_step(), a_claimed_step()
    intend(live)
    intend(ended)
    cancel(ended.run_id)
    before = everything()

    tasks.settle_effects.apply()

    assert everything() == before


def test_what_was_decided_as_unknown_stays_unknown(bellboy: Bellboy) -> None:
    step = a_claimed_step()
    intend(step)
    cancel(step.run_id)
    end_lease_of_ended(step.step_run_id)
    sweeper.settle_effects()
    before = everything()

    assert not ending.tell_late_truth(step, {"status_code": 200})
    assert everything() == before


def test_given_the_owner_and_the_sweep_at_once_then_the_effect_is_decided_once(bellboy: Bellboy) -> None:
    for _ in range(10):
        step = a_claimed_step()
        intend(step)
        cancel(step.run_id)
        end_lease_of_ended(step.step_run_id)

        told, swept = race(
            partial(ending.tell_late_truth, step, {"status_code": 200}), sweeper.settle_effects
        )

        effect = Effect.objects.get(step_run_id=step.step_run_id)
        assert (told, swept) in [(True, 0), (False, 1)]
        assert effect.status == ("done" if told else "unknown")


def test_an_owner_of_before_may_not_speak_for_its_heir(bellboy: Bellboy) -> None:
    zombie = a_claimed_step()
    intend(zombie)
    end_lease(zombie.step_run_id)
    heir = claim(zombie.step_run_id, in_cell=True)
    intend(heir)
    cancel(heir.run_id)

    assert not ending.tell_late_truth(zombie, {"status_code": 200})
    assert ending.tell_late_truth(heir, {"status_code": 200})


def test_while_the_step_lives_on_elsewhere_its_first_owner_decides_nothing(bellboy: Bellboy) -> None:
    """Its heir has not intended yet, so the effect still carries the first owner's fence."""
    zombie = a_claimed_step()
    intend(zombie)
    end_lease(zombie.step_run_id)
    claim(zombie.step_run_id, in_cell=True)

    assert not ending.tell_late_truth(zombie, {"status_code": 200})
    assert Effect.objects.get().status == "intent"


def test_given_a_run_cancelled_between_intent_and_sending_then_the_one_request_may_still_leave(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    """At most one already intended request leaves after a cancel, and the ledger knows what became of it."""
    intended, cancelled = threading.Event(), threading.Event()

    def hold(request: Any) -> float:
        intended.set()
        assert cancelled.wait(10)
        return 30.0

    slow_step.time_limit = hold  # type: ignore[method-assign]
    step = a_queued_step()

    def canceller() -> None:
        assert intended.wait(10)
        cancel(step.run_id)
        cancelled.set()

    race(lambda: worker.execute([step.pk]), canceller)

    assert len(slow_step.sent) == 1
    assert Effect.objects.get().status == "done"
