"""Whether a round counts: the machine was calm, and the baseline cost what it costs on a calm machine.

A round that does not count is reported like any other, with the reason.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks import cpu

MOST_OTHERS = 0.35  # cores used by processes that are neither the system, nor sink, nor load
BASELINE_CPU = (12.0, 18.0)  # seconds per 1,000 three-step runs of the naive chain


@dataclass(frozen=True)
class Usage:
    """CPU seconds, and how long they were spent in."""

    seconds: float
    system: float
    sink: float
    load: float
    machine: float  # everything, these included

    @property
    def cores_of_others(self) -> float:
        return max(0.0, self.machine - self.system - self.sink - self.load) / self.seconds

    def minus(self, before: Usage) -> Usage:
        return Usage(
            self.seconds - before.seconds,
            self.system - before.system,
            self.sink - before.sink,
            self.load - before.load,
            self.machine - before.machine,
        )


class Meter:
    """Measures from its creation to `read`."""

    def __init__(self, roots: list[int], sink_pid: int | None) -> None:
        self.roots, self.sinks = roots, [sink_pid] if sink_pid else []
        self.before = self._look()

    def read(self) -> Usage:
        return self._look().minus(self.before)

    def _look(self) -> Usage:
        return Usage(
            seconds=time.monotonic(),
            system=cpu.seconds_of(self.roots),
            sink=cpu.seconds_of(self.sinks),
            load=cpu.seconds_of_this_process(),
            machine=cpu.seconds_of_machine(),
        )


def of_machine(cores_of_others: float) -> list[str]:
    """Why a measurement does not count, by what others did meanwhile."""
    if cores_of_others < MOST_OTHERS:
        return []
    return [f"other processes used {cores_of_others:.2f} cores; {MOST_OTHERS} is the most that counts"]


def of_baseline(cpu_per_1000: float) -> list[str]:
    """Why a round does not count, by what the baseline cost in it."""
    low, high = BASELINE_CPU
    if low <= cpu_per_1000 <= high:
        return []
    return [f"the baseline took {cpu_per_1000:.1f} CPU s per 1,000 runs; {low:.0f} to {high:.0f} counts"]
