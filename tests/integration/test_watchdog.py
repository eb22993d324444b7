"""A step that overruns its limit cannot be interrupted in its thread: the watchdog ends the process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from executions import chain, lost_replies, worker
from executions.leases import Hold, Keeper
from executions.models import Run
from tests.bellboy import Bellboy
from tests.scripted import ScriptedSlow
from tests.staging import a_queued_step

HANGING_WORKER = """
import threading, time
import django
django.setup()
from executions import leases
leases.OVERRUN_SECONDS = 0.0
leases.keeper.hold(1, 1, claimed_at=time.monotonic(), limit_seconds=0.0)
threading.Event().wait(60)
"""


@pytest.mark.slow
def test_given_a_hanging_thread_then_its_process_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTFIELD_LEASE_SECONDS", "1")
    ended = subprocess.run(
        [sys.executable, "-c", HANGING_WORKER], timeout=60, check=False, capture_output=True
    )

    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert b"worker_ended_by_watchdog" in ended.stderr + ended.stdout


@pytest.mark.parametrize(("over_by", "is_ended"), [(0.0, False), (29.0, False), (31.0, True)])
def test_a_step_may_overrun_by_half_a_minute(
    monkeypatch: pytest.MonkeyPatch, over_by: float, is_ended: bool
) -> None:
    signals: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, number: signals.append(number))
    now = time.monotonic()

    Keeper()._end_process_if_overrun([Hold(1, 1, now, now), Hold(2, 1, now, now - over_by)])

    assert signals == ([signal.SIGKILL] if is_ended else [])


@pytest.mark.django_db(transaction=True)
def test_while_an_outcome_is_being_written_the_watchdog_waits(
    bellboy: Bellboy, slow_step: ScriptedSlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that somebody keeps locked must not cost a worker with hundreds of other steps in it."""
    seen: list[float] = []
    persist = lost_replies.persist

    def watch(transaction: Any, hold: Any) -> Any:
        seen.append(hold.must_end_by)
        return persist(transaction, hold)

    monkeypatch.setattr(chain, "persist", watch)
    worker.execute([a_queued_step().pk])

    intent, outcome = seen
    assert intent < time.monotonic() + 60
    assert outcome == float("inf")
    assert Run.objects.get().status == "completed"
