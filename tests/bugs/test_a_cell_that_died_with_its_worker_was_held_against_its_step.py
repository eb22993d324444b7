"""Three container stops, each while a step was alone in its cell, failed the step: nobody asked who had died of what."""

from __future__ import annotations

import pytest

from executions import cells, sweeper
from executions.models import Run, StepRun
from tests.bellboy import Bellboy
from tests.scripted import ScriptedSlow
from tests.staging import a_claimed_step, answer_with_cells_here, claim, end_lease

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]


def test_given_cells_that_died_with_their_worker_when_swept_then_the_step_in_them_is_not_to_blame(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    step = a_claimed_step()
    for number in range(4):
        end_lease(step.step_run_id)
        claim(step.step_run_id, worker=f"host:{number}:cell:1", in_cell=True)
    end_lease(step.step_run_id)  # and again nobody is left to say why

    sweeper.sweep()
    answer_with_cells_here(bellboy)

    assert Run.objects.get().status == "completed"
    row = StepRun.objects.get()
    assert (row.lost, row.lost_alone, len(slow_step.sent)) == (5, 0, 1)


def test_given_a_step_that_takes_its_worker_with_it_every_time_then_it_is_given_up_all_the_same(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    step = a_claimed_step()
    for number in range(9):
        end_lease(step.step_run_id)
        claim(step.step_run_id, worker=f"host:{number}:cell:1", in_cell=True)
    end_lease(step.step_run_id)

    cells.run_here([step.step_run_id], "http")

    row = StepRun.objects.get()
    assert (row.status, row.error_code) == ("failed", "step.worker_lost")
    assert (row.lost, row.lost_alone, slow_step.sent) == (10, 0, [])


def test_given_a_step_that_was_often_lost_in_company_then_it_may_be_tried_alone(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    """Ten workers that died with it say nothing; only a process of its own would."""
    step = a_claimed_step()
    neighbour = a_claimed_step()
    for _ in range(12):
        for lost in (step, neighbour):
            end_lease(lost.step_run_id)
        cells.claim([step.step_run_id, neighbour.step_run_id], worker="w:cell:1")
    end_lease(step.step_run_id)

    cells.run_here([step.step_run_id], "http")

    assert StepRun.objects.get(pk=step.step_run_id).status == "completed"
