"""What this process holds: one thread renews the leases and watches for steps that overrun.

The owner stops before its lease does: `may_send` is False once less than a sixth of the lease is left by the
process's own monotonic clock, so a request never leaves under a lease that the database may see as over.
A step that overruns its time limit by much cannot be interrupted from outside its thread; the watchdog ends
the whole process, and the leases of everything it held run out.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import uuid
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from executions import renewals

logger = logging.getLogger(__name__)

OVERRUN_SECONDS = 30.0  # a step may take this much longer than its limit before the process is ended


def node_name() -> str:
    """The host, short enough for the columns that hold it."""
    return socket.gethostname()[:40]


def _name() -> str:
    return f"{node_name()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


_worker = _name()


def worker_name() -> str:
    """What this process signs its claims with: host, process id and a random part."""
    return _worker


def rename(name: str | None = None) -> None:
    """Take another name: a forked child its own, a cell the one that its parent will look for."""
    global _worker
    _worker = name or _name()


os.register_at_fork(after_in_child=rename)


@dataclass
class Hold:
    """One step held by this process. Times are `time.monotonic()` instants."""

    step_run_id: int
    fence: int
    lease_until: float
    must_end_by: float
    is_lost: bool = False

    def may_send(self) -> bool:
        """Is enough of the lease left to send a request?"""
        margin = settings.LIGHTFIELD_LEASE_SECONDS / 6
        return not self.is_lost and time.monotonic() < self.lease_until - margin

    def renewed(self, asked_at: float) -> None:
        """The database extended the lease some time after `asked_at`: count from there, never from later."""
        self.lease_until = asked_at + settings.LIGHTFIELD_LEASE_SECONDS


class Keeper:
    """Renews what is held, every third of a lease, in one statement."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[int, Hold] = {}
        self._thread: threading.Thread | None = None

    def hold(self, step_run_id: int, fence: int, *, claimed_at: float, limit_seconds: float) -> Hold:
        """Keep the lease of a step that was claimed at or after the monotonic instant `claimed_at`."""
        now = time.monotonic()
        held = Hold(step_run_id, fence, claimed_at + settings.LIGHTFIELD_LEASE_SECONDS, now + limit_seconds)
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
                self._thread.start()
            self._held[step_run_id] = held  # nothing is held when there is no thread to be had
            self._changed.notify_all()
        return held

    def let_go(self, held: Hold) -> None:
        with self._changed:
            if self._held.get(held.step_run_id) is held:
                del self._held[held.step_run_id]

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held)
            time.sleep(settings.LIGHTFIELD_LEASE_SECONDS / 3)
            try:
                self.beat()
            except Exception:
                logger.exception(
                    "leases_not_renewed"
                )  # hundreds of leases hang on this thread: it must live on

    def beat(self) -> None:
        """Renew once and look for overruns."""
        with self._changed:
            held = list(self._held.values())
        if not held:
            return
        self._end_process_if_overrun(held)
        asked_at = time.monotonic()
        try:
            renewed, lost = renewals.renew([(hold.step_run_id, hold.fence) for hold in held])
        except (DatabaseError, InterfaceError) as error:
            logger.warning("leases_not_renewed", extra={"held": len(held), "error": str(error)})
            return
        finally:
            connection.close()
        for hold in held:
            if hold.step_run_id in renewed:
                hold.renewed(asked_at)
            elif hold.step_run_id in lost:
                hold.is_lost = True

    def _end_process_if_overrun(self, held: list[Hold]) -> None:
        now = time.monotonic()
        late = [hold.step_run_id for hold in held if now > hold.must_end_by + OVERRUN_SECONDS]
        if late:
            logger.critical("worker_ended_by_watchdog", extra={"step_run_ids": late, "held": len(held)})
            os.kill(os.getpid(), signal.SIGKILL)


keeper = Keeper()
