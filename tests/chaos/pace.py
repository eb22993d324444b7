"""How long is a second on a machine that is not ours alone?

Limits of the walk are meant for a machine that does nothing else. Where others take so much of the CPU that
nothing is left idle, our clock goes slower by the share they took; how much is part of the report. Nothing but
limits of waiting is stretched: what must be consistent must be so at any speed.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

LOOK_EVERY = 1.0  # seconds
LEAST_IDLE = 0.1  # with this much of the CPU idle, nobody waits for it
SLOWEST = 8.0


class OwnTime:
    """A clock that counts the seconds we had, as if the machine were ours. Start it once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own = 0.0
        self._real = time.monotonic()
        self._stretch = 1.0
        self.began_at = self._real

    def start(self) -> None:
        threading.Thread(target=self._watch, name="own-time", daemon=True).start()

    def now(self) -> float:
        """Seconds since the start, each as long as it takes here."""
        with self._lock:
            return self._own + (time.monotonic() - self._real) / self._stretch

    @property
    def stretch(self) -> float:
        """How many real seconds one of ours took so far, on average."""
        return max(1.0, (time.monotonic() - self.began_at) / max(self.now(), 0.001))

    def _watch(self) -> None:
        before = _spent()
        while True:
            time.sleep(LOOK_EVERY)
            after = _spent()
            busy, ours, idle = (max(0, new - old) for new, old in zip(after, before, strict=True))
            before = after
            with self._lock:
                now = time.monotonic()
                self._own += (now - self._real) / self._stretch
                self._real = now
                self._stretch = stretch_of(busy, ours, idle)


def stretch_of(busy: int, ours: int, idle: int) -> float:
    total = busy + idle
    if not total or idle / total >= LEAST_IDLE:
        return 1.0
    others = max(0, busy - ours)
    return min(SLOWEST, 1 / max(1 - others / total, 1 / SLOWEST))


def _spent() -> tuple[int, int, int]:
    """Ticks of the CPU since its start: used by all, used by us and ours, idle."""
    try:
        columns = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:  # not Linux: nothing is known, nothing is stretched
        return 0, 0, 0
    idle = columns[3] + columns[4]
    return sum(columns) - idle, _spent_by_ours(), idle


def _spent_by_ours() -> int:
    """Of this process, all that descends from it, and what these have waited for."""
    parents, spent = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(words[1])
            spent[int(folder.name)] = sum(int(word) for word in words[11:15])
    here = os.getpid()
    return sum(ticks for pid, ticks in spent.items() if _descends(pid, here, parents))


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid > 1 and pid != ancestor:
        pid = parents.get(pid, 0)
    return pid == ancestor


own_time = OwnTime()
