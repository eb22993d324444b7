"""Resident memory of the processes over their lives, and whether it grows with age.

Faults end processes all the time, so the first and the last minutes of a soak say little. What counts is the age: a line
is laid through the samples of each process that lived long enough, from its warm-up on, and the slopes of all
processes of a kind are one slope, in which long lives weigh more.
"""

from __future__ import annotations

import re
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.processes import children_of, megabytes_of
from tests.chaos.stack import Stack

WARM_UP = 40.0  # seconds: imports, first connections, first steps
LONG_ENOUGH = 80.0  # seconds of life
LEAK = 4.0  # MB a minute that nobody calls flat any more …
SETTLING = 8.0  # … besides what a life may still need when it is warm: threads at a new peak, caches
BOUNDED = {"flower": 260.0}  # MB: it remembers the tasks it has seen, up to a number; so it grows, to here
EXPECTED = (
    "web's worker",
    "worker-fast",
    "worker-http",
    "beat",
)  # without a long life of these there is no verdict
SOAK_MINUTES = 5.0  # from this length on, each of them is sure to live long enough once


@dataclass
class Life:
    """One process: (age in seconds, MB)."""

    name: str
    began_at: float
    samples: list[tuple[float, float]] = field(default_factory=list)

    @property
    def warm(self) -> list[tuple[float, float]]:
        """What is judged: nothing of a life that was too short."""
        if not self.samples or self.samples[-1][0] < LONG_ENOUGH:
            return []
        return [sample for sample in self.samples if sample[0] >= WARM_UP]


@dataclass(frozen=True)
class Trend:
    """How a kind of process grows: MB a minute beyond the warm-up, what is allowed, and how long it was watched."""

    slope: float
    limit: float
    lives: int
    minutes: float


def trend_of(lives: Iterable[Life]) -> Trend | None:
    """None: no life was long enough."""
    rise = weight = allowed = minutes = 0.0
    number = 0
    for warm in (life.warm for life in lives):
        if len(warm) < 2:
            continue
        middle, height = (statistics.fmean(values) for values in zip(*warm, strict=True))
        spread = sum((age - middle) ** 2 for age, _ in warm)
        length = (warm[-1][0] - warm[0][0]) / 60
        rise += 60 * sum((age - middle) * (size - height) for age, size in warm)
        weight += spread
        allowed += spread * (LEAK + SETTLING / length)
        minutes += length
        number += 1
    return Trend(rise / weight, allowed / weight, number, minutes) if weight else None


class Memory:
    """Samples all processes of the table, and gunicorn's workers."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.lives: dict[tuple[str, int], Life] = {}

    def sample(self) -> None:
        now = time.monotonic()
        for one in self.stack.supervisor.processes:
            if one.child is None:
                continue
            pids = [(one.name, one.child.pid)]
            if one.name == "web":
                pids += [("web's worker", pid) for pid in children_of(one.child.pid)]
            for name, pid in pids:
                size = megabytes_of(pid)
                if size:
                    life = self.lives.setdefault((name, pid), Life(name, now))
                    life.samples.append((now - life.began_at, size))

    def told(self) -> list[str]:
        """A line for each kind of process: how it grew beyond the warm-up, and the verdict."""
        return [_line(kind, lives) for kind, lives in sorted(self._by_kind().items())]

    def problems(self, soak_minutes: float) -> list[str]:
        kinds = self._by_kind()
        never = [kind for kind in EXPECTED if trend_of(kinds.get(kind, [])) is None]
        return [line for line in self.told() if line.endswith("NOT FLAT")] + [
            f"memory of {kind}: none lived {LONG_ENOUGH:.0f} s, so nothing is known"
            for kind in never
            if soak_minutes >= SOAK_MINUTES
        ]

    def _by_kind(self) -> dict[str, list[Life]]:
        """`worker-http-2` is one of the kind `worker-http`."""
        kinds: dict[str, list[Life]] = defaultdict(list)
        for life in self.lives.values():
            kinds[re.sub(r"-\d+$", "", life.name)].append(life)
        return kinds


def _line(kind: str, lives: list[Life]) -> str:
    most = max(size for life in lives for _, size in life.samples)
    oldest = max(life.samples[-1][0] for life in lives)
    trend = trend_of(lives)
    head = f"memory of {kind:<14}{len(lives):>4} lives, oldest {oldest:>5.0f} s, at most {most:>4.0f} MB"
    if trend is None:
        return f"{head}; none lived {LONG_ENOUGH:.0f} s"
    return (
        f"{head}; {trend.lives} of them warm for {trend.minutes:.1f} min:"
        f" {trend.slope:+.2f} MB/min (limit {trend.limit:.1f}), {_verdict(kind, trend, most)}"
    )


def _verdict(kind: str, trend: Trend, most: float) -> str:
    if kind in BOUNDED and most <= BOUNDED[kind]:
        return f"within its {BOUNDED[kind]:.0f} MB"
    return "flat" if trend.slope <= trend.limit else "NOT FLAT"
