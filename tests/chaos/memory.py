"""Resident memory of the processes over their lives, and whether it grows with age.

Faults end processes all the time, so the first and the last minutes of a soak say little. What counts is the age:
each process that lived long enough is compared with itself, after its warm-up and at its end.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field

from tests.chaos.processes import children_of, megabytes_of
from tests.chaos.stack import Stack

WARM_UP = 20.0  # seconds: imports, first connections, first steps
LONG_ENOUGH = 80.0  # seconds of life
FLAT = 1.2  # last quarter to first, beyond the warm-up
BOUNDED = {"flower": 260.0}  # MB: it remembers the tasks it has seen, up to a number; so it grows, to here


@dataclass
class Life:
    """One process: (age in seconds, MB)."""

    name: str
    began_at: float
    samples: list[tuple[float, float]] = field(default_factory=list)

    @property
    def quarters(self) -> tuple[float, float] | None:
        """Medians of the first and the last quarter beyond the warm-up; None when it died too young."""
        grown = [size for age, size in self.samples if age >= WARM_UP]
        if not grown or self.samples[-1][0] < LONG_ENOUGH:
            return None
        quarter = max(1, len(grown) // 4)
        return statistics.median(grown[:quarter]), statistics.median(grown[-quarter:])


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
        by_name: dict[str, list[Life]] = defaultdict(list)
        for life in self.lives.values():
            by_name[life.name].append(life)
        return [_line(name, lives) for name, lives in sorted(by_name.items())]

    def problems(self) -> list[str]:
        return [line for line in self.told() if line.endswith("NOT FLAT")]


def _line(name: str, lives: list[Life]) -> str:
    most = max(size for life in lives for _, size in life.samples)
    oldest = max(life.samples[-1][0] for life in lives)
    pairs = [pair for life in lives if (pair := life.quarters)]
    head = f"memory of {name:<14}{len(lives):>4} lives, oldest {oldest:>5.0f} s, at most {most:>4.0f} MB"
    if not pairs:
        return f"{head}; none lived {LONG_ENOUGH:.0f} s"
    first, last = (statistics.median(sizes) for sizes in zip(*pairs, strict=True))
    growth = statistics.median([after / before for before, after in pairs])
    return (
        f"{head}; {len(pairs)} grew from {first:.0f} to {last:.0f} MB, ×{growth:.2f}:"
        f" {_verdict(name, growth, most)}"
    )


def _verdict(name: str, growth: float, most: float) -> str:
    if name in BOUNDED and most <= BOUNDED[name]:
        return f"within its {BOUNDED[name]:.0f} MB"
    return "flat" if growth <= FLAT else "NOT FLAT"
