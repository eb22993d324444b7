"""How a filter is declared, called and bounded. The filters themselves are in `*_filters.py`."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workflows.templating.faults import LIST_LIMIT, VALUE_LIMIT, Budget, failed, too_much
from workflows.templating.values import kind_of

WHOLE = re.compile(r"\s*-?[0-9]{1,18}\s*")
WHOLE_LIMIT = 2**63  # PostgreSQL and most readers of JSON keep whole numbers exactly up to here

Run = Callable[..., Any]  # (budget, value, *arguments) -> value


@dataclass(frozen=True)
class Filter:
    """One filter of the allow-list.

    `catches_missing` filters see the value of a path that leads nowhere; the others are passed over, so
    that a later `default` still decides.
    """

    name: str
    run: Run
    least: int  # arguments
    arguments: tuple[str, ...]  # their names; those beyond `least` may be left out
    summary: str
    catches_missing: bool = False

    @property
    def most(self) -> int:
        return len(self.arguments)

    def usage(self) -> str:
        """How it is written: `truncate: [length, ending]`, brackets around what may be left out."""
        needed, optional = ", ".join(self.arguments[: self.least]), ", ".join(self.arguments[self.least :])
        written = ", ".join(filter(None, [needed, f"[{optional}]" if optional else ""]))
        return f"{self.name}: {written}" if written else self.name

    def apply(self, budget: Budget, value: Any, arguments: Sequence[Any]) -> Any:
        """The filter's result. Sizes are checked, and paid for, before and after."""
        if self.catches_missing:
            return self.run(budget, value, *arguments)
        budget.spend(2 + _size(value) // 64 + sum(_size(argument) for argument in arguments) // 64)
        result = self.run(budget, value, *arguments)
        budget.spend(_size(result) // 64)
        return result


FILTERS: dict[str, Filter] = {}


def liquid_filter(name: str, *, catches_missing: bool = False) -> Callable[[Run], Run]:
    """Add a function `(budget, value, *arguments)` to the allow-list; its docstring is the documentation."""

    def add(run: Run) -> Run:
        arguments = list(inspect.signature(run).parameters.values())[2:]
        least = sum(argument.default is argument.empty for argument in arguments)
        summary = inspect.getdoc(run) or ""
        names = tuple(argument.name for argument in arguments)
        FILTERS[name] = Filter(name, run, least, names, summary, catches_missing)
        return run

    return add


def _size(value: Any) -> int:
    """Characters or items that a filter has to touch; raises when there are too many."""
    if isinstance(value, str):
        return room_for_text(len(value))
    if isinstance(value, list | dict):
        return 16 * room_for_items(len(value))
    if isinstance(value, float) and not math.isfinite(value):
        raise failed("A filter's result is not a finite number.")
    if isinstance(value, int) and not -WHOLE_LIMIT <= value < WHOLE_LIMIT:
        raise too_much("A whole number in a template must fit into 64 bits.")
    return 1


def room_for_text(length: int) -> int:
    """The length; raises when it is over the bound. Filters that grow text ask before they build it."""
    if length > VALUE_LIMIT:
        raise too_much(f"A filter may read and make {VALUE_LIMIT:,} characters.")
    return length


def room_for_items(count: int) -> int:
    if count > LIST_LIMIT:
        raise too_much(f"A filter may read and make lists of {LIST_LIMIT:,} items.")
    return count


def items_of(value: Any, name: str) -> list[Any]:
    """The list that a filter works on; null counts as an empty list."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise failed(f"The filter {name} needs a list, not {kind_of(value)}.")
    return value


def whole(value: Any, name: str) -> int:
    """An argument that counts something."""
    if isinstance(value, str) and WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise failed(f"The filter {name} needs a whole number, not {kind_of(value)}.")
    return value
