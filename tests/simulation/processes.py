"""Simulated processes: what each remembers is lost when it dies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from executions import sweeper
from executions.dispatcher import Drains
from executions.worker import Slots
from tests.simulation.actors import Actor
from tests.simulation.rows import Attempt
from tests.simulation.seams import ProcessKeeper

THREADS = 3  # for slow steps, in each process


@dataclass
class Process:
    """A worker, or a cell that one of them started. Its clock is its own: another zero, a little fast or slow."""

    name: str
    clock_zero: float = 0.0
    clock_rate: float = 1.0
    is_cell: bool = False
    is_alive: bool = True
    is_paused: bool = False
    is_doomed: bool = False  # its own watchdog has found a step that overran
    is_killed: bool = False
    has_failed: bool = False  # ended by an error instead of in order
    actors: list[Actor] = field(default_factory=list)
    keeper: ProcessKeeper = field(default_factory=ProcessKeeper)
    underway: set[int] = field(default_factory=set)
    slots: Any = field(default_factory=lambda: Slots(THREADS))
    drains: Drains = field(default_factory=Drains)

    def monotonic(self, elapsed: float) -> float:
        return self.clock_zero + elapsed * self.clock_rate

    def may_be_sending(self, attempt: Attempt, elapsed: float) -> bool:
        """Does it live and hold this attempt, with enough of the lease left by its own clock?"""
        return (
            self.is_alive
            and self.name == attempt.worker
            and any(
                hold.fence == attempt.fence
                and self.monotonic(elapsed) < hold.lease_until - sweeper.margin_seconds()
                for hold in self.keeper.holds()
                if hold.step_run_id == attempt.step_run_id and not hold.is_lost
            )
        )
