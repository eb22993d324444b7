"""Whoever lost a step can write nothing more, whatever it does and however late it wakes."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError

from executions import cells, claims, ending, engine, renewals, reports, services
from executions.claims import StepInHand
from executions.models import Attempt, Effect, Run, StepRun
from executions.outcomes import Fail, Retry
from executions.settlements import Settlement
from executions.settling import settle
from executions.states import AttemptOutcome
from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace, TransientStepError
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import BY
from tests.scripted import ScriptedFast, installed
from tests.staging import a_claimed_step, a_run, claim, end_lease, everything, intend, slow

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]

ERROR = {"code": "http.timeout", "message": "m", "retryable": True, "metadata": {}}


def success(step: StepInHand) -> Settlement:
    return reports.completed(step, {"ok": True}, effect="done", answer={"status_code": 200})


def failure(step: StepInHand) -> Settlement:
    return reports.failed(step, Fail(ERROR, AttemptOutcome.PERMANENT, "by_attempts"))


def retry(step: StepInHand) -> Settlement:
    return reports.retried(step, Retry(5.0, ERROR, AttemptOutcome.REFUSED))


def a_zombie() -> StepInHand:
    """A worker that intended its request, was paused beyond its lease, and wakes when a cell has the step."""
    zombie = a_claimed_step(worker="zombie")
    intend(zombie)
    end_lease(zombie.step_run_id)
    heir = claim(zombie.step_run_id, worker="heir", in_cell=True)
    intend(heir)
    return zombie


@pytest.mark.parametrize("outcome", [success, failure, retry])
def test_given_a_step_taken_over_when_its_first_worker_wakes_then_it_writes_nothing(
    bellboy: Bellboy, outcome: Any
) -> None:
    zombie = a_zombie()
    before = everything()

    with pytest.raises(LostRace):
        settle(outcome(zombie))

    assert everything() == before  # run.seq too: the timeline gets no gap


def test_a_zombie_gets_no_leave_to_send(bellboy: Bellboy) -> None:
    zombie = a_zombie()
    before = everything()

    assert intend(zombie) == {}
    assert renewals.renew([(zombie.step_run_id, zombie.fence)]) == (set(), {zombie.step_run_id})
    assert not ending.tell_late_truth(zombie, {"status_code": 200})
    assert everything() == before


def test_the_heir_of_a_zombie_settles_as_if_nothing_had_been(bellboy: Bellboy) -> None:
    zombie = a_zombie()
    (heir,) = claims.in_hand([zombie.step_run_id])

    settle(success(heir))

    assert Run.objects.get().status == "completed"
    assert list(Attempt.objects.values_list("outcome", "fence")) == [("lost", 1), ("ok", 2)]
    assert Effect.objects.get().fence == 2


def test_given_a_step_that_was_given_up_when_its_last_worker_wakes_then_it_writes_nothing(
    bellboy: Bellboy,
) -> None:
    """The decision to give up raises the fence as well: the status alone is not left to guard it."""
    zombie = a_claimed_step(slow() | {"config": {"on_unknown": "fail"}})
    intend(zombie, on_unknown="fail")
    end_lease(zombie.step_run_id)
    assert cells.claim([zombie.step_run_id], worker="heir") == []
    assert StepRun.objects.get().fence == 2
    before = everything()

    with pytest.raises(LostRace):
        settle(success(zombie))

    assert everything() == before


def test_given_a_cancelled_run_when_its_worker_comes_back_then_the_outcome_is_not_written(
    bellboy: Bellboy,
) -> None:
    step = a_claimed_step()
    intend(step)
    services.cancel_run(run_id=step.run_id, by=BY)  # type: ignore[arg-type]
    assert StepRun.objects.get().fence == 2
    before = everything()

    with pytest.raises(LostRace):
        settle(success(step))

    assert everything() == before


def test_an_outcome_written_twice_is_written_once(bellboy: Bellboy) -> None:
    step = a_claimed_step()
    intend(step)
    settle(success(step))
    before = everything()

    with pytest.raises(LostRace):
        settle(success(step))

    assert everything() == before


def test_of_eight_settlements_at_once_one_is_written(bellboy: Bellboy) -> None:
    step = a_claimed_step(slow("one"), slow("two"))
    intend(step)

    results = race(*[lambda: settle(success(step))] * 8)

    assert sorted(type(result).__name__ for result in results) == [*["LostRace"] * 7, "Settled"]
    assert StepRun.objects.count() == 2


def test_of_a_zombie_and_its_heir_at_once_the_heir_wins_every_time(bellboy: Bellboy) -> None:
    for _ in range(10):
        zombie = a_zombie()
        (heir,) = claims.in_hand([zombie.step_run_id])

        lost, won = race(partial(settle, failure(zombie)), partial(settle, success(heir)))

        assert isinstance(lost, LostRace)
        assert won.next_step_run_id is None
    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}


def test_success_without_an_intent_in_the_ledger_is_refused(bellboy: Bellboy) -> None:
    """Nothing may have been sent: then nothing can have been answered."""
    step = a_claimed_step()
    before = everything()

    with pytest.raises(LostRace):
        settle(success(step))

    assert everything() == before


def test_given_a_fast_step_tried_again_meanwhile_when_an_older_try_comes_back_then_it_is_dropped(
    bellboy: Bellboy,
) -> None:
    """Both found it waiting, and it waits again: only the fence tells the two tries apart."""

    def fail(config: Any, context: Any) -> Any:
        raise TransientStepError("step.timeout")

    with installed("flaky", ScriptedFast) as flaky:
        flaky.script = fail
        run = a_run({"key": "one", "type": "flaky", "config": {}})
        engine.advance([str(run.pk)])
        sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp()", {})
        step = claims.live_step(str(run.pk))
        assert step is not None
        older = engine.outcome_of(step)
        engine.advance([str(run.pk)])
        before = everything()

        with pytest.raises(LostRace):
            settle(older)

    assert everything() == before
    assert StepRun.objects.get().attempts == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE executions_run SET status = 'running', finished_at = NULL",
        "UPDATE executions_steprun SET status = 'ready'",
        "UPDATE executions_attempt SET outcome = 'unknown'",
        "UPDATE executions_effect SET status = 'unknown'",
        "UPDATE executions_timelineentry SET type = 'run.failed'",
        "DELETE FROM executions_timelineentry",
    ],
)
def test_what_is_final_stays_final_even_for_a_person_with_a_database_console(
    bellboy: Bellboy, statement: str
) -> None:
    step = a_claimed_step()
    intend(step)
    settle(success(step))
    before = everything()

    with pytest.raises(DatabaseError, match="never changed"):
        sql.rows(statement, {})

    assert everything() == before
