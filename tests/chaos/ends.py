"""Did a process end that nobody ended? The supervisor's word on each end, held against what we did.

Expected is the end of a process that we killed, or that obeyed an order at a point; of one that its checkup killed
because it was silent, where we had stopped it, taken its server away, or the machine was not there for it; of one
that its own watchdog ended after we had stopped it; and of one that a killer step was running in.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Collection

from tests.chaos.books import Books, Ended

NEAR = 120.0  # seconds between a kill and the supervisor's word of it: the harness may have been waiting elsewhere
SILENCE = (
    180.0  # two questions without an answer, 30 s apart, 20 s each; what silenced it may have ended before
)
BUSY = 2.0  # so many real seconds to one of ours: nobody can be expected to answer
KILLER = 1  # the exit code of a killer step's process
FAST_LOSSES = (
    6  # fast workers that one killer may cost until it is run in a cell: three rings, each heard twice
)
_WORKERS = re.compile(r"Worker \(pid:(\d+)\) (?:was sent|exited with)[^\n]*|WORKER TIMEOUT \(pid:(\d+)\)")


def unexpected(
    books: Books,
    *,
    killers: Collection[int] = (),
    stretch: Callable[[float, float], float] = lambda a, b: 1.0,
) -> list[str]:
    """Ends without a reason.

    Args:
        killers: workers that lost a killer step without a cell around it.
        stretch: how many real seconds one of ours took between two instants.
    """
    return [
        f"{one.name} (pid {one.pid}) {_how(one)}"
        for one in books.ends
        if not _is_expected(one, books, killers, stretch)
    ]


def _is_expected(
    one: Ended, books: Books, killers: Collection[int], stretch: Callable[[float, float], float]
) -> bool:
    if any(pid == one.pid and abs(at - one.at) < NEAR for pid, at in books.deaths):
        return True
    was_stopped = any(pid == one.pid and 0 <= one.at - at < SILENCE for pid, at in books.stops)
    if one.was_silent:
        was_alone = any(0 <= one.at - at < SILENCE for at, _ in books.disturbances)
        return was_stopped or was_alone or stretch(one.at - SILENCE, one.at) > BUSY
    if one.returncode == -signal.SIGKILL and was_stopped:
        return True  # a step of it overran meanwhile: leases.py's watchdog
    return one.returncode == KILLER and (one.pid in killers or _is_fast_loss(one, books))


def _is_fast_loss(one: Ended, books: Books) -> bool:
    """A fast step is not claimed, so its row does not tell whom it killed: when there was one, and not too often."""
    if not one.name.startswith("worker-fast"):
        return False
    for began, ended in books.killers:
        alike = [
            other
            for other in books.ends
            if began <= other.at <= ended
            and other.name.startswith("worker-fast")
            and other.returncode == KILLER
        ]
        if one in alike[:FAST_LOSSES]:
            return True
    return False


def gunicorns_workers(books: Books, log: str) -> list[str]:
    """gunicorn's own children that ended, by its log, without being killed, stopped or ordered to."""
    known = {pid for pid, _ in [*books.deaths, *books.stops]}
    return [
        f"web's worker: {found[0]}"
        for found in _WORKERS.finditer(log)
        if int(found[1] or found[2]) not in known and "SIGTERM" not in found[0]
    ]


def _how(one: Ended) -> str:
    if one.was_silent:
        return "was silent and killed for it"
    return f"ended by itself: {signal.Signals(-one.returncode).name if one.returncode < 0 else f'exit code {one.returncode}'}"
