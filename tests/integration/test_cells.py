"""Steps that lost their worker: who may try them again, where, how often, and what is believed of their effect."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import transaction

from executions import admission, cells, reports, sweeper, worker
from executions.models import Attempt, Effect, Run, StepRun
from executions.outcomes import Retry
from executions.settling import settle
from executions.states import AttemptOutcome
from lightfield.kernel.errors import TransientStepError
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.scripted import ScriptedSlow
from tests.staging import (
    a_claimed_step,
    a_queued_step,
    answer_with_cells_here,
    claim,
    die_in_cells,
    end_lease,
    intend,
    live,
    say,
    slow,
    told,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]

REFUSAL = {"code": "http.unavailable", "message": "m", "retryable": True, "metadata": {}}


def rung_to_cells(bellboy: Bellboy) -> list[list[int]]:
    return sorted(sorted(bell.args[0]) for bell in bellboy.rung if bell.task == "executions.execute_in_cell")


def test_given_a_worker_that_died_when_swept_then_a_cell_completes_the_step(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    lost = a_claimed_step()
    intend(lost)
    end_lease(lost.step_run_id)

    sweeper.sweep()
    assert rung_to_cells(bellboy) == [[lost.step_run_id]]
    answer_with_cells_here(bellboy)

    run = Run.objects.get()
    assert run.status == "completed"
    assert told(run) == [
        *["run.created", "run.started", "step.started", "step.lost", "step.started"],
        *["step.completed", "run.completed"],
    ]
    entry = run.timeline.get(type="step.lost")
    assert entry.metadata == {"worker": "first", "may_have_sent": True}
    assert (entry.attempt, entry.fence, entry.from_status, entry.to_status) == (1, 1, "running", "ready")
    assert [attempt.outcome for attempt in Attempt.objects.order_by("number")] == ["lost", "ok"]
    assert slow_step.sent[0][0] == {"value": 7}  # the request as first frozen


def test_a_lost_attempt_uses_up_no_attempt_of_the_author(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    errors = iter([TransientStepError("http.timeout")])

    def script(request: Any, context: Any) -> dict[str, Any]:
        for error in errors:
            raise error
        return {}

    slow_step.script = script
    step = a_claimed_step(slow(retry={"max_attempts": 2, "base_seconds": 0}))
    end_lease(step.step_run_id)
    cells.run_here([step.step_run_id], "http")
    sweeper.sweep()
    answer_with_cells_here(bellboy)

    row = StepRun.objects.get()
    assert (row.status, row.attempts, row.lost, row.max_attempts) == ("completed", 3, 1, 2)


def test_once_a_suspect_has_an_outcome_it_is_one_no_longer(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        raise TransientStepError("http.timeout")

    slow_step.script = script
    step = a_claimed_step()
    end_lease(step.step_run_id)

    cells.run_here([step.step_run_id], "http")

    row = StepRun.objects.get()
    assert (row.status, row.quarantined) == ("waiting", False)


def test_after_a_first_loss_steps_share_a_cell_and_after_a_second_each_has_its_own(bellboy: Bellboy) -> None:
    ids = [a_claimed_step().step_run_id for _ in range(3)]
    for step_run_id in ids:
        end_lease(step_run_id)

    sweeper.sweep()
    assert rung_to_cells(bellboy) == [ids]

    cells.claim(ids, worker="a shared cell")
    assert not Attempt.objects.filter(alone=True).exists()
    for step_run_id in ids:
        end_lease(step_run_id)
    bellboy.rung.clear()
    sweeper.sweep()
    assert rung_to_cells(bellboy) == [[step_run_id] for step_run_id in ids]


def test_losses_in_company_never_end_a_step(bellboy: Bellboy) -> None:
    ids = [a_claimed_step().step_run_id for _ in range(2)]
    for _ in range(5):
        for step_run_id in ids:
            end_lease(step_run_id)
        assert len(cells.claim(ids, worker="shared")) == 2

    assert set(StepRun.objects.values_list("lost", "lost_alone")) == {(5, 0)}


def test_given_three_losses_alone_then_the_step_is_to_blame(bellboy: Bellboy) -> None:
    step = a_claimed_step(slow(), say())
    die_in_cells(step.step_run_id, times=3)

    cells.run_here([step.step_run_id], "http")

    row = StepRun.objects.get(position=1)
    assert (row.status, row.error_code, row.attempts) == ("failed", "step.worker_lost", 4)
    assert (row.lost, row.lost_alone) == (4, 3)
    assert (row.run.status, row.run.error_code) == ("failed", "step.worker_lost")
    assert told(row.run)[-3:] == ["step.failed", "step.skipped", "run.failed"]
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"lost"}
    assert Effect.objects.count() == 0  # nothing was ever intended


@pytest.mark.parametrize(("intended", "believed"), [({0}, "unknown"), ({3}, "unknown"), (set(), "abandoned")])
def test_a_step_given_up_may_have_had_its_effect_if_any_lost_attempt_intended_it(
    bellboy: Bellboy, intended: set[int], believed: str
) -> None:
    step = a_claimed_step()
    intend(step)  # so that there is an effect to decide; this attempt is known to have had none
    settle(reports.retried(step, Retry(0.0, REFUSAL, AttemptOutcome.REFUSED)))
    admission.admit("http")
    for number in range(4):
        step = claim(step.step_run_id, in_cell=number > 0)
        if number in intended:
            intend(step)
        end_lease(step.step_run_id)
        cells.note_end([step.step_run_id], "http", "first", died=number > 0)

    assert cells.claim([step.step_run_id], worker="heir") == []

    assert Effect.objects.get().status == believed


def test_given_on_unknown_fail_when_a_worker_died_after_its_intent_then_it_is_not_repeated(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    step = a_claimed_step(slow() | {"config": {"on_unknown": "fail"}})
    intend(step, on_unknown="fail")
    end_lease(step.step_run_id)

    sweeper.sweep()
    answer_with_cells_here(bellboy)

    run = Run.objects.get()
    assert (run.status, run.error_code) == ("failed", "http.outcome_unknown")
    assert Effect.objects.get().status == "unknown"
    assert slow_step.sent == []


def test_given_on_unknown_fail_when_a_worker_died_before_its_intent_then_it_is_tried_again(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    step = a_claimed_step(slow() | {"config": {"on_unknown": "fail"}})
    end_lease(step.step_run_id)

    sweeper.sweep()
    answer_with_cells_here(bellboy)

    assert Run.objects.get().status == "completed"
    assert len(slow_step.sent) == 1


def test_a_suspect_whose_run_is_locked_is_not_claimed_without_having_been_judged(bellboy: Bellboy) -> None:
    step = a_claimed_step(slow() | {"config": {"on_unknown": "fail"}})
    intend(step, on_unknown="fail")
    end_lease(step.step_run_id)
    is_locked, may_end = threading.Event(), threading.Event()

    def holder() -> None:
        with transaction.atomic():
            Run.objects.select_for_update().get()
            is_locked.set()
            assert may_end.wait(10)

    def cell() -> list[Any]:
        assert is_locked.wait(10)
        taken = cells.claim([step.step_run_id], worker="heir")
        may_end.set()
        return taken

    assert race(holder, cell) == [None, []]


def test_two_cells_at_once_give_a_step_up_once(bellboy: Bellboy) -> None:
    step = a_claimed_step()
    die_in_cells(step.step_run_id, times=3)

    race(*[lambda: cells.run_here([step.step_run_id], "http")] * 6)

    assert told(Run.objects.get()).count("run.failed") == 1


def test_no_continuation_in_a_cell(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    """The next step is no suspect: it goes back to the others."""
    step = a_claimed_step(slow("one"), slow("two"))
    end_lease(step.step_run_id)

    cells.run_here([step.step_run_id], "http")

    assert live(Run.objects.get()).status == "ready"
    assert bellboy.names()[-1] == "admit"


def test_outside_a_cell_no_memory_is_an_error_like_any_other(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        raise MemoryError

    slow_step.script = script

    worker.execute([a_queued_step().pk])

    row = StepRun.objects.get()
    assert (row.status, row.error_code) == ("waiting", "step.unexpected")
