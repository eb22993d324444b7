"""Instants, lengths and sizes the way people say them. Pure."""

from __future__ import annotations

import json
import math
from datetime import datetime
from decimal import Decimal
from typing import Any

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def length(seconds: float) -> str:
    """`340 ms`, `2.4 s`, `3 min 5 s`, `2 h 10 min`, `4 d 2 h`: two units at most."""
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    for unit, name, smaller, small_name in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name} {rest} {small_name}" if rest else f"{whole // unit} {name}"
    raise AssertionError(whole)  # every length of a minute or more has returned


def ago(instant: datetime, now: datetime) -> str:
    """`just now`, `3 min ago`, `in 12 s`. The largest unit only: nobody counts the seconds of an hour."""
    seconds = (now - instant).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    words = _largest(abs(seconds))
    return f"{words} ago" if seconds > 0 else f"in {words}"


def size(length_bytes: int) -> str:
    """`312 bytes`, `4.2 KiB`, `1.0 MiB`."""
    if length_bytes < 1024:
        return f"{length_bytes} byte{'' if length_bytes == 1 else 's'}"
    kib = length_bytes / 1024
    return f"{kib:.1f} KiB" if kib < 1024 else f"{kib / 1024:.1f} MiB"


def money(dollars: float | Decimal | None) -> str:
    """`$12.40`, `$0.05`, `$0.0031`: of small amounts the first two digits that count; empty for None."""
    if dollars is None:
        return ""
    value = float(dollars)
    if value == 0:
        return "$0"
    digits = 2 if abs(value) >= 0.1 else 1 - math.floor(math.log10(abs(value)))
    text = f"{value:.{digits}f}"
    return f"${text.rstrip('0') if digits > 3 else text.removesuffix('0') if digits == 3 else text}"


def _largest(seconds: float) -> str:
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds)} s"


def fact(value: Any) -> str:
    """A value of an error's metadata: problems as `place: what`, one after the other; other lists and objects as JSON."""
    if isinstance(value, list) and value and all(_is_problem(one) for one in value):
        return "; ".join(f"{one['pointer'] or 'as a whole'}: {one['detail'].rstrip('.')}" for one in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_problem(value: Any) -> bool:
    return isinstance(value, dict) and {"pointer", "detail"} <= set(value)
