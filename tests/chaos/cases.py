"""One point and one action of the walk: its hits, what is wrong with them, and what became of the zombies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.fences import Told

# A process that is stopped here holds a step, and the stop is longer than its lease: somebody has to take it over.
HOLDING = ("CP-S2", "CP-S3", "CP-S4", "CP-S5", "CP-S9", "CP-A1")


@dataclass
class Hit:
    """One death or stop. `recovery_seconds` is None when something did not move in time."""

    point: str
    action: str
    pid: int
    at: float
    recovery_seconds: float | None = None
    own_seconds: float | None = None  # the same by the clock that goes slower where others use the machine
    is_woken: bool | None = None  # of a stop, once its time is over: it was still there, stopped


@dataclass
class Case:
    """One point and one action."""

    point: str
    action: str
    wanted: int
    patience: float  # seconds for everything that was on its way to have moved
    hits: list[Hit] = field(default_factory=list)

    @property
    def whole(self) -> list[Hit]:
        """Hits that count: a stopped process that was gone before it could be woken was no zombie."""
        return [hit for hit in self.hits if hit.action == "kill" or hit.is_woken]

    @property
    def to_repeat(self) -> int:
        gone = len(self.hits) - len(self.whole)
        return max(0, min(gone, self.wanted - len(self.whole)))

    @property
    def late(self) -> list[Hit]:
        """Over in time only by the clock that goes slower."""
        return [hit for hit in self.hits if (hit.recovery_seconds or 0) > self.patience]

    def taken_over(self, told: Told) -> int:
        """How many steps others took from those that were stopped."""
        return sum(told.taken.get((hit.pid, hit.at), 0) for hit in self.hits)

    def problem(self, told: Told) -> str:
        if len(self.whole) < self.wanted:
            gone = len(self.hits) - len(self.whole)
            words = f", {gone} more were gone before they could be woken" if gone else ""
            return f"hit {len(self.whole)} of {self.wanted} times{words}"
        if never := [hit for hit in self.hits if hit.recovery_seconds is None]:
            return f"{len(never)} not over in {self.patience:.0f} s"
        if self.action == "stop" and self.point in HOLDING and not self.taken_over(told):
            return "no step of those that were stopped was taken over: they were no zombies"
        return ""


def zombies(cases: Sequence[Case], told: Told) -> list[str]:
    """A line for each point at which processes were stopped."""
    stops = [case for case in cases if case.action == "stop"]
    if not stops:
        return []
    lines = [f"{'zombies':<10}{'stopped':>8}{'woken':>7}{'steps taken over':>18}"]
    lines += [
        f"{case.point:<10}{len(case.hits):>8}{sum(bool(hit.is_woken) for hit in case.hits):>7}"
        f"{case.taken_over(told):>18}"
        for case in stops
    ]
    return lines
