"""Slow steps: claim a batch, commit the intents, then send, settle and continue side by side.

Dying anywhere leaves a row that the sweeper finds: `queued` before the claim, an expired lease after it.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Protocol

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError

from executions import admission, claims
from executions.agents import asking
from executions.chain import Chain, Ended, commit_intents_of
from executions.claims import StepInHand
from executions.crowd import crowd
from executions.leases import worker_name
from lightfield.kernel import sql
from lightfield.kernel.crashpoint import crashpoint

logger = logging.getLogger(__name__)


class Slots:
    """How many slow steps this process may have at once: as many as the widest lane, and as it has threads."""

    def __init__(self, capacity: int) -> None:
        self._lock = threading.Lock()
        self._free = capacity

    def take(self, wanted: int) -> int:
        """Reserve up to `wanted` slots; returns how many there were."""
        with self._lock:
            taken = min(wanted, self._free)
            self._free -= taken
            return taken

    def give_back(self, number: int) -> None:
        with self._lock:
            self._free += number


CAPACITY = max(settings.LIGHTFIELD_WINDOWS.values())
slots = Slots(CAPACITY)
_threads: ThreadPoolExecutor | None = None
_threads_lock = threading.Lock()


def _pool() -> ThreadPoolExecutor:
    global _threads
    with _threads_lock:
        if _threads is None:
            _threads = ThreadPoolExecutor(CAPACITY, thread_name_prefix="step")
        return _threads


class Claim(Protocol):
    """Takes steps in one transaction: `claims.claim` in company, `cells.claim` in a cell."""

    def __call__(self, ids: list[int], *, worker: str, owner: str) -> list[StepInHand]: ...


def execute(ids: list[int], *, claim: Claim = claims.claim, in_cell: bool = False) -> list[Ended]:
    """Run those of these steps that may be taken now, side by side, and whatever follows them in their lane.

    Ids beyond the free threads stay queued: a lease must not run out in a process that has no thread for it.
    Returns how each chain ended, for the message's own report.
    """
    # Before the claim, after which time is counted; who has no agents never pays for it.
    if settings.ROLE == "worker-ai":
        asking.prepare()
    number = slots.take(len(ids))
    try:
        return _execute(ids[:number], claim, in_cell=in_cell) if number else []
    finally:
        slots.give_back(number)


def _execute(ids: list[int], claim: Claim, *, in_cell: bool) -> list[Ended]:
    chains: list[Chain] = []
    running: list[Future[None]] = []
    try:
        _begin(ids, claim, chains, in_cell=in_cell)
        if chains and chains[0].step.lane_waits and not in_cell:  # and now there is room on the way again
            running.append(_pool().submit(partial(_admit_more, chains[0].step.lane)))
        intending = [chain for chain in chains if chain.prepare()]
        if intending:
            crashpoint("CP-S2")
        commit_intents_of(intending)
        sql.release()
        for chain in chains[1:]:
            running.append(_pool().submit(chain.run))
        if chains:
            chains[0].run()
    finally:
        wait(running)  # whatever became of this thread: what they hold is theirs until they are done
        for chain in chains:
            chain.let_go()
    return [chain.ended for chain in chains if chain.ended is not None]


def _begin(ids: list[int], claim: Claim, chains: list[Chain], *, in_cell: bool) -> None:
    """Add a chain for each step that may be taken; those that were added must be let go of, also after an error."""
    crowd.join(len(ids))
    try:
        crashpoint("CP-S1")
        claimed_at = time.monotonic()
        for step in _claim(ids, claim):
            chains.append(Chain(step, claimed_at, in_cell=in_cell))
    finally:
        crowd.joined(len(ids), begun=len(chains))


def _admit_more(lane: str) -> None:
    """Should it fail, the sweeper rings for the lane."""
    try:
        admission.admit(lane)
    except (DatabaseError, InterfaceError) as error:
        logger.info("lane_not_admitted", extra={"lane": lane, "error": str(error)})
    finally:
        sql.release()


def _claim(ids: list[int], claim: Claim) -> list[StepInHand]:
    """Claim although the connection to the database breaks.

    It may have broken after COMMIT: then the steps carry this call's token, and are adopted. Otherwise each of
    them would cost a lease and count as lost.
    """
    owner = claims.new_owner(worker_name())
    give_up = time.monotonic() + settings.LIGHTFIELD_LEASE_SECONDS / 3
    delay, is_repeated = 0.05, False
    while True:
        try:
            adopted = claims.owned(owner, ids) if is_repeated else []
            return adopted or claim(ids, worker=worker_name(), owner=owner)
        except (OperationalError, InterfaceError) as error:
            if time.monotonic() + delay > give_up:
                raise
            logger.info("claimed_again", extra={"step_run_ids": ids, "error": str(error)})
            sql.release()
            time.sleep(delay)
            delay, is_repeated = min(delay * 2, 1.0), True
