"""Filters on lists. Items are compared as JSON: 1 and 1.0 are equal, 1 and true are not."""

from __future__ import annotations

from typing import Any

from workflows.canonical import canonical_json
from workflows.templating.faults import VALUE_LIMIT, Budget, failed
from workflows.templating.filter_table import items_of, liquid_filter, room_for_items, room_for_text, whole
from workflows.templating.number_filters import Number, plus
from workflows.templating.values import ABSENT, is_truthy, kind_of, text_of, weigh


def _property(item: Any, key: Any, name: str) -> Any:
    """A field of an item; null when the object does not have it."""
    if not isinstance(item, dict):
        raise failed(f"The filter {name} needs a list of objects; it holds {kind_of(item)}.")
    if not isinstance(key, str):
        raise failed(f"The filter {name} needs the name of a field, not {kind_of(key)}.")
    return item.get(key)


def _identity(budget: Budget, value: Any) -> tuple[str, Any]:
    """A key that is the same for values that are equal as JSON."""
    if not isinstance(value, list | dict):
        budget.spend(1)
        return kind_of(value), value
    budget.spend(4 + weigh(value, budget, VALUE_LIMIT) // 16)
    return "JSON", canonical_json(value)


@liquid_filter("size")
def size(_budget: Budget, value: Any) -> int:
    """Characters of text, items of a list, fields of an object; 0 for null."""
    if value is None:
        return 0
    if not isinstance(value, str | list | dict):
        raise failed(f"The filter size needs text, a list or an object, not {kind_of(value)}.")
    return len(value)


@liquid_filter("first")
def first(_budget: Budget, value: Any) -> Any:
    """The first item; null when there is none."""
    return next(iter(items_of(value, "first")), None)


@liquid_filter("last")
def last(_budget: Budget, value: Any) -> Any:
    """The last item; null when there is none."""
    return next(reversed(items_of(value, "last")), None)


@liquid_filter("slice")
def slice_(budget: Budget, value: Any, start: Any, length: Any = 1) -> Any:
    """That many characters or items from a place on; a negative place counts from the end."""
    source = value if isinstance(value, list) else text_of(value, budget, VALUE_LIMIT)
    begin, count = whole(start, "slice"), max(0, whole(length, "slice"))
    begin = begin + len(source) if begin < 0 else begin
    return source[begin : begin + count] if begin >= 0 else source[:0]


@liquid_filter("join")
def join(budget: Budget, value: Any, separator: Any = " ") -> str:
    """All items as one text with the separator between them."""
    glue, left = text_of(separator, budget, VALUE_LIMIT), VALUE_LIMIT
    pieces = []
    for item in items_of(value, "join"):
        piece = text_of(item, budget, VALUE_LIMIT)
        left -= len(piece) + len(glue)
        room_for_text(VALUE_LIMIT - left)
        pieces.append(piece)
    return glue.join(pieces)


@liquid_filter("map")
def map_(_budget: Budget, value: Any, key: Any) -> list[Any]:
    """One field of every object; null where an object lacks it."""
    return [_property(item, key, "map") for item in items_of(value, "map")]


@liquid_filter("where")
def where(budget: Budget, value: Any, key: Any, wanted: Any = ABSENT) -> list[Any]:
    """The objects whose field equals the second argument, or is neither null nor false without one."""
    pairs = [(item, _property(item, key, "where")) for item in items_of(value, "where")]
    if wanted is ABSENT:
        return [item for item, field in pairs if is_truthy(field)]
    mark = _identity(budget, wanted)
    return [item for item, field in pairs if _identity(budget, field) == mark]


@liquid_filter("sort")
def sort(budget: Budget, value: Any, key: Any = None) -> list[Any]:
    """In ascending order, by a field if one is named; nulls last. Numbers or texts, not both."""
    items = items_of(value, "sort")
    fields = [item if key is None else _property(item, key, "sort") for item in items]
    kinds = {kind_of(field) for field in fields if field is not None}
    if kinds - {"a number"} and kinds - {"text"}:
        raise failed(f"The filter sort needs numbers or texts, not {' and '.join(sorted(kinds))}.")
    budget.spend(len(items) + sum(len(field) for field in fields if isinstance(field, str)) // 64)
    filler: Any = "" if kinds == {"text"} else 0
    ranked = [(field is None, filler if field is None else field, at) for at, field in enumerate(fields)]
    return [items[at] for _, _, at in sorted(ranked)]


@liquid_filter("uniq")
def uniq(budget: Budget, value: Any, key: Any = None) -> list[Any]:
    """Without repeated items, or without items whose field was seen before."""
    seen: dict[tuple[str, Any], Any] = {}
    for item in items_of(value, "uniq"):
        mark = item if key is None else _property(item, key, "uniq")
        seen.setdefault(_identity(budget, mark), item)
    return list(seen.values())


@liquid_filter("compact")
def compact(_budget: Budget, value: Any, key: Any = None) -> list[Any]:
    """Without nulls, or without objects whose field is null."""
    items = items_of(value, "compact")
    if key is None:
        return [item for item in items if item is not None]
    return [item for item in items if _property(item, key, "compact") is not None]


@liquid_filter("concat")
def concat(_budget: Budget, value: Any, other: Any) -> list[Any]:
    """Both lists, one after the other."""
    left, right = items_of(value, "concat"), items_of(other, "concat")
    room_for_items(len(left) + len(right))
    return left + right


@liquid_filter("reverse")
def reverse(_budget: Budget, value: Any) -> list[Any]:
    """Last item first."""
    return items_of(value, "reverse")[::-1]


@liquid_filter("sum")
def sum_(budget: Budget, value: Any, key: Any = None) -> Number:
    """The sum of the items, or of one field; nulls are passed over."""
    items = items_of(value, "sum")
    fields = items if key is None else [_property(item, key, "sum") for item in items]
    budget.spend(len(fields))
    total: Number = 0
    for field in fields:
        if field is not None:
            total = plus(budget, total, field)
    return total
