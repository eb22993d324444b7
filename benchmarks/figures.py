"""Percentiles, rounds, and what becomes of several rounds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Values = dict[str, float]


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least `percent` of all are not above (nearest rank); NaN without values."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def milliseconds(seconds: Iterable[float], percent: float) -> float:
    return percentile(seconds, percent) * 1000


@dataclass
class Round:
    """One round: figures by system, why it does not count, and what was lost, doubled or refused in it."""

    figures: dict[str, Values] = field(default_factory=dict)
    invalid: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)  # for the file of results only

    def add(self, system: str, figures: Values, problems: list[str], invalid: list[str]) -> None:
        """What one system came to."""
        self.figures[system] = figures
        self.problems += problems
        self.invalid += [f"{system}: {why}" for why in invalid]

    @property
    def is_valid(self) -> bool:
        return not self.invalid

    def as_json(self) -> dict[str, Any]:
        return {
            "valid": self.is_valid,
            "why": self.invalid,
            "problems": self.problems,
            "figures": self.figures,
            **self.notes,
        }


def counting(rounds: list[Round]) -> list[Round]:
    """The valid rounds; all of them when none is."""
    return [one for one in rounds if one.is_valid] or rounds


def medians(rounds: list[Round], system: str) -> Values:
    """Each figure's median over the rounds that count; empty when this system was not measured."""
    figures = [one.figures[system] for one in counting(rounds) if system in one.figures]
    names = figures[0] if figures else {}
    return {name: statistics.median(one[name] for one in figures) for name in names}


@dataclass(frozen=True)
class Bar:
    """What a figure of ours must reach in the first release. Met or not by all medians: (ours, naive)."""

    says: str
    is_met: Callable[[float, Values, Values], bool]


def at_most(limit: float) -> Bar:
    return Bar(f"<= {limit:g}", lambda figure, _ours, _naive: figure <= limit)


def at_least(limit: float) -> Bar:
    return Bar(f">= {limit:g}", lambda figure, _ours, _naive: figure >= limit)


def at_most_naive(factor: float, name: str) -> Bar:
    """At most so many times the naive chain's figure called `name`."""
    return Bar(
        f"<= {factor:g} x", lambda figure, _ours, naive: name in naive and figure <= factor * naive[name]
    )


def at_least_naive(factor: float, name: str) -> Bar:
    return Bar(
        f">= {factor:g} x", lambda figure, _ours, naive: name in naive and figure >= factor * naive[name]
    )


def at_most_quiet(factor: float, name: str, *, or_else: float = 0.0) -> Bar:
    """At most so many times our own figure called `name`, or a fixed number when that is more."""
    says = f"<= {factor:g} x quiet" + (f" or {or_else:g}" if or_else else "")
    return Bar(says, lambda figure, ours, _naive: figure <= max(factor * ours[name], or_else))


@dataclass(frozen=True)
class Line:
    """One line of a bench's table: a field of its figures, what to call it with its unit, its decimals."""

    figure: str
    label: str
    decimals: int = 1
    bar: Bar | None = None
