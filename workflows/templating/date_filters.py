"""The `date` filter: instants as text, the same on every machine and in every locale.

There is no "now": a template gives the same text each time it is rendered. Use a date from the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from workflows.templating.faults import Budget, failed
from workflows.templating.filter_table import liquid_filter
from workflows.templating.values import kind_of

DIRECTIVE = re.compile(r"%(-?)(.)", re.DOTALL)
FORMAT_LIMIT = 200  # characters
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip

# Numbers are padded with zeros to a width unless `%-` is written; texts have width 0.
DIRECTIVES: Final[dict[str, tuple[Callable[[datetime], str | int], int]]] = {
    "Y": (lambda at: at.year, 4),
    "y": (lambda at: at.year % 100, 2),
    "m": (lambda at: at.month, 2),
    "d": (lambda at: at.day, 2),
    "e": (lambda at: f"{at.day:2}", 0),
    "j": (lambda at: at.timetuple().tm_yday, 3),
    "H": (lambda at: at.hour, 2),
    "I": (lambda at: (at.hour + 11) % 12 + 1, 2),
    "M": (lambda at: at.minute, 2),
    "S": (lambda at: at.second, 2),
    "L": (lambda at: at.microsecond // 1000, 3),
    "f": (lambda at: at.microsecond, 6),
    "p": (lambda at: "AM" if at.hour < 12 else "PM", 0),
    "A": (lambda at: DAYS[at.weekday()], 0),
    "a": (lambda at: DAYS[at.weekday()][:3], 0),
    "B": (lambda at: MONTHS[at.month - 1], 0),
    "b": (lambda at: MONTHS[at.month - 1][:3], 0),
    "u": (lambda at: at.isoweekday(), 1),
    "w": (lambda at: at.isoweekday() % 7, 1),
    "V": (lambda at: at.isocalendar().week, 2),
    "G": (lambda at: at.isocalendar().year, 4),
    "s": (lambda at: int(at.timestamp()), 1),
    "z": (lambda at: at.strftime("%z"), 0),
    "Z": (lambda at: at.strftime("%Z"), 0),
    "F": (lambda at: f"{at.year:04}-{at.month:02}-{at.day:02}", 0),
    "T": (lambda at: f"{at.hour:02}:{at.minute:02}:{at.second:02}", 0),
    "R": (lambda at: f"{at.hour:02}:{at.minute:02}", 0),
    "%": (lambda _at: "%", 0),
}


def instant(value: Any) -> datetime:
    """An ISO 8601 text (UTC when it names no zone) or seconds since 1970 as an aware instant."""
    try:
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value.strip()) if len(value) <= 64 else None
        elif isinstance(value, int | float) and not isinstance(value, bool):
            parsed = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)
        else:
            parsed = None
    except (ValueError, OverflowError):
        parsed = None
    if parsed is None:
        shown = repr(value[:40]) if isinstance(value, str) else kind_of(value)
        raise failed(f"The filter date needs an ISO 8601 date or seconds since 1970, not {shown}.")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


@liquid_filter("date")
def date(_budget: Budget, value: Any, layout: Any, zone: Any = None) -> str:
    """A date in that form (`%Y-%m-%d %H:%M`), in a time zone such as `Europe/Paris` if one is named."""
    if value is None or value == "":
        return ""
    if not isinstance(layout, str) or len(layout) > FORMAT_LIMIT:
        raise failed(f"The filter date needs a form of at most {FORMAT_LIMIT} characters.")
    at = instant(value)
    if zone is not None:
        at = _in_zone(at, zone)
    return DIRECTIVE.sub(lambda match: _directive(at, match), layout)


def _in_zone(at: datetime, zone: Any) -> datetime:
    try:
        return at.astimezone(ZoneInfo(zone))
    except (ValueError, TypeError, OSError, OverflowError, KeyError):  # the ways ZoneInfo refuses a name
        shown = repr(zone[:40]) if isinstance(zone, str) else kind_of(zone)
        raise failed(f"The filter date does not know the time zone {shown}.") from None


def _directive(at: datetime, match: re.Match[str]) -> str:
    bare, letter = match.groups()
    if letter not in DIRECTIVES:
        raise failed(f"The filter date does not know {match.group()!r}.")
    make, width = DIRECTIVES[letter]
    made = make(at)
    if isinstance(made, str):
        return made.strip() if bare else made
    return str(made) if bare else f"{made:0{width}}"
