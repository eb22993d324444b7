"""Filters on numbers. Text that is written like a number counts as one; sums of decimals are exact."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

from workflows.templating.faults import Budget, failed
from workflows.templating.filter_table import WHOLE, liquid_filter, whole
from workflows.templating.values import kind_of

Number = int | float
DECIMAL = re.compile(r"\s*-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?\s*")
ARITHMETIC = Context(prec=40)  # a product of two floats has at most 34 digits


def number(value: Any, name: str) -> Number:
    """The number that a value is, or is written as."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, str) and DECIMAL.fullmatch(value) and math.isfinite(written := float(value)):
        return written  # "1e999" reads like a number, and is none that there is
    shown = f"{value[:40]!r}" if isinstance(value, str) else kind_of(value)
    raise failed(f"The filter {name} needs a number, not {shown}.")


def calculate(name: str, left: Any, right: Any, exact: Callable[[Any, Any], Number | Decimal]) -> Number:
    """Whole numbers stay whole; as soon as one is a decimal, both are calculated as decimals."""
    a, b = number(left, name), number(right, name)
    try:
        if isinstance(a, int) and isinstance(b, int):
            return exact(a, b)  # type: ignore[return-value]  # whole in, whole out
        with localcontext(ARITHMETIC):
            return float(exact(Decimal(repr(a)), Decimal(repr(b))))
    except ArithmeticError:
        raise failed(f"The filter {name} cannot calculate {a} and {b}.") from None


@liquid_filter("plus")
def plus(_budget: Budget, value: Any, other: Any) -> Number:
    """The sum."""
    return calculate("plus", value, other, lambda a, b: a + b)


@liquid_filter("minus")
def minus(_budget: Budget, value: Any, other: Any) -> Number:
    """The difference."""
    return calculate("minus", value, other, lambda a, b: a - b)


@liquid_filter("times")
def times(_budget: Budget, value: Any, other: Any) -> Number:
    """The product."""
    return calculate("times", value, other, lambda a, b: a * b)


@liquid_filter("divided_by")
def divided_by(_budget: Budget, value: Any, other: Any) -> Number:
    """The quotient; of two whole numbers rounded down, as in Liquid. Write `divided_by: 2.0` for decimals."""
    return calculate("divided_by", value, other, lambda a, b: a // b if isinstance(a, int) else a / b)


@liquid_filter("modulo")
def modulo(_budget: Budget, value: Any, other: Any) -> Number:
    """The remainder, with the sign of the argument."""
    return calculate(
        "modulo",
        value,
        other,
        lambda a, b: a % b if isinstance(a, int) else a - b * (a / b).to_integral_value(ROUND_FLOOR),
    )


def _rounded(name: str, value: Any, digits: int, how: str) -> Number:
    amount = number(value, name)
    if isinstance(amount, int):
        return amount
    # The largest float has 309 digits before the point.
    rounded = Decimal(repr(amount)).quantize(Decimal(1).scaleb(-digits), how, Context(prec=330))
    return float(rounded) if digits else int(rounded)


@liquid_filter("round")
def round_(_budget: Budget, value: Any, digits: Any = 0) -> Number:
    """To that many places (0: a whole number); halves away from zero."""
    return _rounded("round", value, min(max(whole(digits, "round"), 0), 15), ROUND_HALF_UP)


@liquid_filter("floor")
def floor(_budget: Budget, value: Any) -> Number:
    """Down to a whole number."""
    return _rounded("floor", value, 0, ROUND_FLOOR)


@liquid_filter("ceil")
def ceil(_budget: Budget, value: Any) -> Number:
    """Up to a whole number."""
    return _rounded("ceil", value, 0, ROUND_CEILING)


@liquid_filter("abs")
def abs_(_budget: Budget, value: Any) -> Number:
    """Without its sign."""
    return abs(number(value, "abs"))


@liquid_filter("at_least")
def at_least(_budget: Budget, value: Any, other: Any) -> Number:
    """The value, or the argument when that is more."""
    return max(number(value, "at_least"), number(other, "at_least"))


@liquid_filter("at_most")
def at_most(_budget: Budget, value: Any, other: Any) -> Number:
    """The value, or the argument when that is less."""
    return min(number(value, "at_most"), number(other, "at_most"))
