"""How long is a second on a machine that is not ours alone?

Limits of the walk are meant for a machine that does nothing else. Where others take so much of the CPU that
nothing is left idle, our clock goes slower by the share they took; how much is part of the report. Nothing but
limits of waiting is stretched: what must be consistent must be so at any speed.
"""

from __future__ import annotations

import bisect
import os
import threading
import time
from pathlib import Path
from typing import TypeAlias

Tree: TypeAlias = dict[int, tuple[int, int]]  # process: its parent, and the ticks on its account

LOOK_EVERY = 1.0  # seconds
LEAST_IDLE = 0.1  # with this much of the CPU idle, nobody waits for it
SLOWEST = 8.0


class OwnTime:
    """A clock that counts the seconds we had, as if the machine were ours. Start it once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stretch = 1.0
        self._marks = [(time.time(), 0.0)]  # a second apart: the wall's clock, and ours
        self.most = 1.0  # the largest stretch of any second

    def start(self) -> None:
        threading.Thread(target=self._watch, name="own-time", daemon=True).start()

    def now(self) -> float:
        """Seconds since the start, each as long as it takes here."""
        return self.at(time.time())

    def at(self, instant: float) -> float:
        """The same at an instant of the wall's clock."""
        with self._lock:
            number = bisect.bisect_right(self._marks, (instant, float("inf")))
            wall, own = self._marks[max(0, number - 1)]
            if number == len(self._marks):
                return own + (instant - wall) / self._stretch
            if number == 0:
                return own + instant - wall
            next_wall, next_own = self._marks[number]
            return own + (next_own - own) * (instant - wall) / (next_wall - wall)

    def between(self, began: float, ended: float) -> float:
        """How many of our seconds lay between two instants of the wall's clock."""
        return self.at(ended) - self.at(began)

    def stretch_between(self, began: float, ended: float) -> float:
        """How many real seconds one of ours took then, on average."""
        return max(1.0, (ended - began) / max(self.between(began, ended), 0.001))

    @property
    def stretch(self) -> float:
        """The same since the start."""
        return self.stretch_between(self._marks[0][0], time.time())

    def _watch(self) -> None:
        before = _spent()
        while True:
            time.sleep(LOOK_EVERY)
            after = _spent()
            busy, idle = (max(0, new - old) for new, old in zip(after[:2], before[:2], strict=True))
            stretch = stretch_of(busy, ours_of(before[2], after[2]), idle)
            before = after
            now = time.time()
            own = self.at(now)
            with self._lock:
                if now > self._marks[-1][0]:
                    self._marks.append((now, own))
                self._stretch = stretch
                self.most = max(self.most, stretch)


def stretch_of(busy: int, ours: int | None, idle: int) -> float:
    """How many real seconds one of ours took, by the ticks of a second. `ours` may be unknown."""
    total = busy + idle
    if ours is None or not total or idle / total >= LEAST_IDLE:
        return 1.0
    others = max(0, busy - ours)
    return min(SLOWEST, 1 / max(1 - others / total, 1 / SLOWEST))


def ours_of(before: Tree, after: Tree) -> int | None:
    """What our processes used between two looks, or None where that cannot be known.

    What a process used is added to its parent's account when that waits for it. Where a parent is gone too, or a
    child has another parent now, the account is lost: it must not be taken for the others'.
    """
    lost = any(pid not in after and parent not in after for pid, (parent, _) in before.items())
    used = sum(ticks for _, ticks in after.values()) - sum(ticks for _, ticks in before.values())
    return None if lost or used < 0 else used


def _spent() -> tuple[int, int, Tree]:
    """Ticks of the CPU since its start: used by all, idle, and by us and ours."""
    try:
        columns = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:  # not Linux: nothing is known, nothing is stretched
        return 0, 0, {}
    idle = columns[3] + columns[4]
    return sum(columns) - idle, idle, _ours()


def _ours() -> Tree:
    """This process and all that descends from it: the parent of each, and what it and those it waited for used."""
    everybody: Tree = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            everybody[int(folder.name)] = int(words[1]), sum(int(word) for word in words[11:15])
    here = os.getpid()
    return {pid: told for pid, told in everybody.items() if _descends(pid, here, everybody)}


def _descends(pid: int, ancestor: int, everybody: Tree) -> bool:
    while pid > 1 and pid != ancestor:
        pid = everybody.get(pid, (0, 0))[0]
    return pid == ancestor


own_time = OwnTime()
