"""A container without threads to spare failed steps within a second: their code had not even been called.

Every cell ended with an error of the engine's own, three times in a row, and each counted as the step's death.
"""

from __future__ import annotations

import os
import signal

import pytest
from django.utils import timezone

from executions import cell_limits, cell_server, cells
from executions.cell_line import Order
from executions.models import Attempt, StepRun
from tests.bellboy import Bellboy
from tests.staging import a_claimed_step, end_lease

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]


class LineToHere:
    """Runs an order in this process, under the cell's name, and answers with the exit code."""

    def run(self, order: Order) -> int:
        cells.claim(list(order.ids), worker=order.name)
        return cell_server.run_steps(order)


def test_given_an_error_of_the_engine_in_a_cell_then_its_step_is_not_charged_and_tried_again_after_its_lease(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(ids: list[int], lane: str) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(cells, "run_here", refuse)
    monkeypatch.setattr(cells, "line", LineToHere())
    step = a_claimed_step()
    end_lease(step.step_run_id)

    cells.run_in_cell([step.step_run_id], "http")

    assert not any(bell.task == "executions.execute_in_cell" for bell in bellboy.rung)
    assert not Attempt.objects.filter(witnessed=True).exists()
    assert StepRun.objects.filter(lease_expires_at__gt=timezone.now()).exists()


def test_given_a_lack_of_memory_in_the_engines_own_part_of_a_cell_then_the_cell_ends_as_of_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(ids: list[int], lane: str) -> None:
        raise MemoryError

    def exit_with(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(cells, "run_here", refuse)
    monkeypatch.setattr(cell_limits, "_is_limited", True)
    monkeypatch.setattr(os, "_exit", exit_with)

    with pytest.raises(SystemExit) as ended:
        cell_server.run_steps(Order("w:cell:1", "http", (1,), 5.0))

    assert ended.value.code == cell_limits.OUT_OF_MEMORY
    assert cells.ENGINE_FAILED not in (0, 1, cell_limits.OUT_OF_MEMORY, -signal.SIGKILL)
