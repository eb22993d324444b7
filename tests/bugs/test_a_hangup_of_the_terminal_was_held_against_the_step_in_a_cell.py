"""SIGHUP reaches every process of a terminal. The worker finished what it held, and saw its cells killed by it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from executions import cells
from executions.cell_line import Order
from executions.models import Attempt
from tests.bellboy import Bellboy
from tests.integration.test_cells_real import killer, killers  # noqa: F401  a fixture
from tests.staging import a_claimed_step, end_lease

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "killers"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for a child in /proc"),
]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_given_a_signal_that_stops_a_worker_when_it_reaches_a_cell_too_then_the_cell_goes_on(
    bellboy: Bellboy, number: signal.Signals
) -> None:
    step = a_claimed_step(killer(way="hang"))
    end_lease(step.step_run_id)
    found: list[int | None] = []
    order = Order("w:cell:1", "http", (step.step_run_id,), 4.0)
    waiting = threading.Thread(target=lambda: found.append(cells.line.run(order)))
    waiting.start()

    os.kill(cell_of_the_step(), number)
    waiting.join(30)

    assert found == [-signal.SIGKILL]  # when its time was over, not before


def cell_of_the_step() -> int:
    """The process of the one cell, once its step is being sent."""
    ends = time.monotonic() + 20
    while not Attempt.objects.filter(number=2, intent_at__isnull=False).exists():
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert cells.line._server is not None
    server = cells.line._server.pid
    (cell,) = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    return int(cell)
