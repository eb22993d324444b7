"""Comparisons inside `if`, `unless` and `case`: JSON values by their JSON type, with Liquid's two odd words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LtExpression,
    NeExpression,
)

from workflows.templating.faults import TEXT_LIMIT, failed
from workflows.templating.frame import Frame
from workflows.templating.values import kind_of, weigh


class _Word:
    """`empty` (text, list or object without content) or `blank` (also null, false and spaces)."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fits(self, value: Any) -> bool:
        if self.name == "blank" and (value is None or value is False):
            return True
        if self.name == "blank" and isinstance(value, str):
            return not value.strip()
        return isinstance(value, str | list | dict) and not value


EMPTY: Final = _Word("empty")
BLANK: Final = _Word("blank")


def equal(frame: Frame, left: Any, right: Any) -> bool:
    """Equal as JSON: 1 and 1.0 are, 1 and true and "1" are not."""
    frame.budget.spend(1)
    if isinstance(left, _Word) or isinstance(right, _Word):
        return _fits(left, right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    _pay(frame, left, right)
    return bool(left == right)


def _fits(left: Any, right: Any) -> bool:
    if isinstance(left, _Word):
        left, right = right, left
    return left is right or right.fits(left)


def _pay(frame: Frame, *values: Any) -> None:
    """Comparing long values costs work in proportion."""
    for value in values:
        if isinstance(value, str):
            frame.budget.spend(len(value) // 256)
        elif isinstance(value, list | dict):
            weigh(value, frame.budget, TEXT_LIMIT)


def less(frame: Frame, left: Any, right: Any) -> bool:
    """Numbers with numbers, text with text. Nothing is less or greater than null."""
    if left is None or right is None:
        return False
    kinds = {kind_of(left), kind_of(right)}
    if kinds in ({"text"}, {"a number"}):
        _pay(frame, left, right)
        return bool(left < right)
    raise failed(f"Cannot tell which is greater: {kind_of(left)} or {kind_of(right)}.")


def less_or_equal(frame: Frame, left: Any, right: Any) -> bool:
    return less(frame, left, right) or (left is not None and equal(frame, left, right))


def contains(frame: Frame, left: Any, right: Any) -> bool:
    """Text in text, an item in a list, a key in an object. Null contains nothing."""
    if left is None or right is None:
        return False
    _pay(frame, left, right)
    if isinstance(left, str) and isinstance(right, str):
        return right in left
    if isinstance(left, list):
        return any(equal(frame, item, right) for item in left)
    if isinstance(left, dict) and isinstance(right, str):
        return right in left
    raise failed(f"`contains` cannot look for {kind_of(right)} in {kind_of(left)}.")


COMPARISONS: Final[dict[type, Callable[[Frame, Any, Any], bool]]] = {
    EqExpression: equal,
    NeExpression: lambda frame, left, right: not equal(frame, left, right),
    LtExpression: less,
    GtExpression: lambda frame, left, right: less(frame, right, left),
    LeExpression: less_or_equal,
    GeExpression: lambda frame, left, right: less_or_equal(frame, right, left),
    ContainsExpression: contains,
}
