"""The operators of `condition` and `find_records`: one table of meaning for both.

| operator | true when |
|---|---|
| `is` | both are equal: numbers by value, a number and text written like one by value, true and "true", two dates or date-times as instants, everything else as JSON; text with its case. Null is null only |
| `is_not` | `is` does not hold |
| `contains` | text holds the other as text; a list has an item that `is` the other (each item, when the other is a list); an object has a field of that name |
| `does_not_contain` | `contains` does not hold |
| `is_any_of` | left, or one of its items when it is a list, `is` one item of right |
| `is_none_of` | `is_any_of` does not hold |
| `gt` `gte` `lt` `lte` | both are numbers (or written like numbers), dates, or texts, and are in that order; what has no order, null above all, is never greater or less |
| `is_set` | left is not null, not empty text, not an empty list or object; 0 and false are set. `right: false` turns it round |

Pure. Dates are ISO 8601 (`2026-03-01`, `2026-03-01T09:00:00+01:00`); without a zone they are UTC.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal

from workflows.canonical import canonical_json

Operator = Literal[
    "is", "is_not", "contains", "does_not_contain", "is_any_of", "is_none_of", "gt", "gte", "lt", "lte", "is_set"
]  # fmt: skip

NUMERIC = re.compile(r"\s*-?[0-9]{1,30}(\.[0-9]{1,30})?\s*")
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII)


def compare(left: Any, name: Operator, right: Any = None) -> bool:
    """Whether the comparison holds between two JSON values. Never raises: see the table above."""
    return OPERATORS[name](left, right)


def is_equal(left: Any, right: Any) -> bool:
    return not _asks(left).isdisjoint(_offers(right))


def contains(left: Any, right: Any) -> bool:
    if isinstance(left, list):
        offered = _offers(*left)
        wanted = right if isinstance(right, list) else [right]
        return all(not _asks(want).isdisjoint(offered) for want in wanted)
    if isinstance(left, dict):
        return isinstance(right, str) and right in left
    if left is None or right is None or isinstance(right, list | dict):
        return False
    return _text(right) in _text(left)


def is_any_of(left: Any, right: Any) -> bool:
    offered = _offers(*right) if isinstance(right, list) else _offers(right)
    return any(not _asks(value).isdisjoint(offered) for value in (left if isinstance(left, list) else [left]))


# Two values are equal when one asks for a key that the other offers. With keys instead of pairs, a list of
# ten thousand is searched for ten thousand values in time proportional to their sum, not to their product.

Keys = set[tuple[str, Any]]


def _offers(*values: Any) -> Keys:
    keys: Keys = set()
    for value in values:
        keys |= {("text", value), *_readings(value, " text")} if isinstance(value, str) else {_own_key(value)}
    return keys


def _asks(value: Any) -> Keys:
    if isinstance(value, str):
        return {("text", value), *_readings(value, "")}
    kind, key = _own_key(value)
    return {(kind, key), (f"{kind} text", key)}


def _own_key(value: Any) -> tuple[str, Any]:
    """The kind and the key of a value that is not text."""
    if isinstance(value, bool):
        return "truth", value
    if isinstance(value, int | float):
        return "number", value
    return "json", canonical_json(value)


def _readings(text: str, suffix: str) -> Keys:
    """What else a text may stand for. Two texts are equal as instants, but not as numbers: "007" is not "7"."""
    readings = {
        (f"truth{suffix}", truth_of(text)),
        (f"number{suffix}", number_of(text)),
        ("instant", instant_of(text)),
    }
    return {(kind, key) for kind, key in readings if key is not None}


def is_set(left: Any, right: Any = None) -> bool:
    """`right` may turn the question round: false (or "false") asks for what is not set."""
    there = left is not None and left not in ("", [], {})
    return there is not (truth_of(right) is False)


def _ordered(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare_order(left: Any, right: Any) -> bool:
        for key in (number_of, instant_of, _only_text):
            a, b = key(left), key(right)
            if a is not None and b is not None:
                return holds(a, b)
        return False

    return compare_order


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number_of(value: Any) -> int | float | None:
    if _is_number(value):
        return value  # type: ignore[no-any-return]  # just checked
    if isinstance(value, str) and NUMERIC.fullmatch(value):
        return float(value) if "." in value else int(value)
    return None


def instant_of(value: Any) -> datetime | None:
    if not isinstance(value, str) or not ISO_DATE.fullmatch(value):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # 30 February; the year 1 in a zone ahead of UTC
        return None


def truth_of(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _only_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _not(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: not holds(left, right)


OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "is": is_equal,
    "is_not": _not(is_equal),
    "contains": contains,
    "does_not_contain": _not(contains),
    "is_any_of": is_any_of,
    "is_none_of": _not(is_any_of),
    "gt": _ordered(operator.gt),
    "gte": _ordered(operator.ge),
    "lt": _ordered(operator.lt),
    "lte": _ordered(operator.le),
    "is_set": is_set,
}
