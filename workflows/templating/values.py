"""Values in templates: plain JSON and nothing else, so there are no attributes or methods to reach."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from workflows.templating.faults import TEXT_LIMIT, Budget, TemplateFault, failed, too_much

Segment = str | int
PLAIN_NAME: Final = re.compile(r"[^\W\d][\w-]*")


class _Absent:
    """Nothing stands there. Not None: null is a value."""


ABSENT: Final = _Absent()
SCALARS: Final = frozenset({int, float, bool, type(None)})


def step_into(value: Any, segment: Segment) -> Any:
    """One step of a path, or `ABSENT`.

    Objects answer with their own keys only; `size` is for lists and text, `first` and `last` for lists.
    """
    if isinstance(value, dict):
        return value.get(segment if isinstance(segment, str) else str(segment), ABSENT)
    if isinstance(value, list):
        if isinstance(segment, int):
            return value[segment] if -len(value) <= segment < len(value) else ABSENT
        if segment == "size":
            return len(value)
        if value and segment in ("first", "last"):
            return value[0 if segment == "first" else -1]
        return ABSENT
    if isinstance(value, str) and segment == "size":
        return len(value)
    return ABSENT


def written(segments: list[Segment]) -> str:
    """A path as people write it: `trigger.items[0]["a b"]`."""
    parts = []
    for segment in segments:
        if isinstance(segment, int):
            parts.append(f"[{segment}]")
        elif PLAIN_NAME.fullmatch(segment):
            parts.append(f".{segment}")
        else:
            parts.append(f'["{segment}"]')
    return "".join(parts).removeprefix(".")


def kind_of(value: object) -> str:
    """What a person calls this JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    for types, name in ((int | float, "a number"), (str, "text"), (list, "a list"), (dict, "an object")):
        if isinstance(value, types):
            return name
    return f"not a JSON value ({type(value).__name__})"


def weigh(value: Any, budget: Budget, limit: int) -> int:
    """About how many characters a value has as JSON. Raises when it is over `limit` or not plain JSON.

    Walks without recursion and stops at the limit: a list may hold the same large object ten thousand times.
    """
    weight, nodes, waiting = 0, 0, [value]
    while waiting:
        item = waiting.pop()
        nodes += 1
        kind = type(item)  # exact types: what JSON readers make, and several times faster than isinstance
        if kind is str:
            weight += len(item) + 3
        elif kind is dict:
            weight += 2 + sum(map(len, item)) + 4 * len(item)
            waiting.extend(item.values())
        elif kind is list:
            weight += 2 + len(item)
            waiting.extend(item)
        elif kind in SCALARS:
            weight += 4
        else:
            raise failed(f"A template met something that is {kind_of(item)}.")
        if weight > limit:
            raise _too_long(limit)
    budget.spend(nodes // 2)
    return weight


def _too_long(limit: int) -> TemplateFault:
    return too_much(f"A value in a template may have {limit:,} characters.")


def text_of(value: Any, budget: Budget, limit: int = TEXT_LIMIT) -> str:
    """A value inside text: text as it is, null as nothing, everything else as compact JSON."""
    if isinstance(value, str):
        if len(value) > limit:
            raise _too_long(limit)
        return value
    if value is None:
        return ""
    if type(value) is int:
        return str(value)
    weigh(value, budget, limit)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def is_truthy(value: Any) -> bool:
    """As in Liquid: everything but null and false, so 0 and empty text are true."""
    return value is not None and value is not False
