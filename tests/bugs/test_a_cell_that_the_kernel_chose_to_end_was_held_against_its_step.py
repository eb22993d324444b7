"""Cells offer themselves first when the machine is short of memory. Their steps were then blamed for it."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading

import pytest
from django.db import connection

from executions import cell_limits, cells
from executions.models import Attempt, StepRun
from tests.bellboy import Bellboy
from tests.bugs.test_a_hangup_of_the_terminal_was_held_against_the_step_in_a_cell import cell_of_the_step
from tests.integration.test_cells_real import killer, killers  # noqa: F401  a fixture
from tests.staging import a_claimed_step, end_lease

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "killers"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for a child in /proc"),
]


@pytest.mark.parametrize(("kills", "is_witnessed"), [(itertools.count(), False), (itertools.repeat(3), True)])
def test_given_a_cell_that_is_killed_then_its_step_is_to_blame_unless_the_machine_was_short_of_memory(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch, kills: itertools.count[int], is_witnessed: bool
) -> None:
    monkeypatch.setattr(cells, "kernel_oom_kills", lambda: next(kills))  # the kernel's own figure
    step = a_claimed_step(killer(way="hang"))
    end_lease(step.step_run_id)

    def run() -> None:
        cells.run_in_cell([step.step_run_id], "http")
        connection.close()

    running = threading.Thread(target=run)
    running.start()

    os.kill(cell_of_the_step(), signal.SIGKILL)
    running.join(30)

    assert Attempt.objects.get(number=2).witnessed is is_witnessed
    row = StepRun.objects.get()
    assert row.status == "running"
    assert [bell.task for bell in bellboy.waiting if bell.task == "executions.execute_in_cell"] == (
        ["executions.execute_in_cell"] if is_witnessed else []  # otherwise the lease is the pause
    )


@pytest.mark.skipif(not os.path.exists("/proc/vmstat"), reason="only Linux tells")
def test_the_kernel_is_asked() -> None:
    assert cell_limits.kernel_oom_kills() >= 0
