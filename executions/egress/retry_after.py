"""How long a receiver wants to be left alone, in all the forms in which receivers say so. Pure but for the clock.

Source: RFC 9110 sections 10.2.3 (Retry-After) and 5.6.7 (its three forms of dates); RFC 6585 section 4 (429);
draft-ietf-httpapi-ratelimit-headers; the X-RateLimit-Reset of many APIs, seconds or a Unix time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

CAP_SECONDS: Final = 3600.0  # a receiver may not park a run for longer
LONGEST_HEADER: Final = 1000  # characters that are looked at
_SECONDS = re.compile(r"\+?([0-9]+)(\.[0-9]*)?")
# The three forms of RFC 9110 5.6.7, told from garbage that date parsers take for a date all the same.
_DATES = re.compile(
    r"[A-Za-z]{3}, [0-9]{1,2} [A-Za-z]{3} [0-9]{4} [0-9:]{8}(?: [A-Za-z]{1,5}| [+-][0-9]{4})"  # IMF-fixdate
    r"|[A-Za-z]{6,9}, [0-9]{2}-[A-Za-z]{3}-[0-9]{2,4} [0-9:]{8}(?: [A-Za-z]{1,5})"  # RFC 850
    r"|[A-Za-z]{3} [A-Za-z]{3} [ 0-9]?[0-9] [0-9:]{8} [0-9]{4}"  # asctime
)
_LIMIT_RESET = re.compile(r"(?:^|[;,\s])(?:t|reset)=([0-9]{1,12})(?![0-9.])")
UNIX_TIMES_FROM: Final = 1_000_000_000  # as seconds that would be 31 years


def retry_after_seconds(headers: Mapping[str, str], *, status_code: int | None = None) -> float | None:
    """0 to 3600 s, or None when it does not say, or cannot be read.

    Headers by their names in lower case; several of one name are one, joined by commas: then the longest wish counts.
    A date counts from the answer's own Date, so that the two clocks need not agree. Of a 429 without a readable
    Retry-After the headers of rate limits are asked.
    """
    wishes = [*_wishes(headers.get("retry-after", ""), headers.get("date", ""))]
    if not wishes and status_code == 429:
        wishes = [*_limits(headers)]
    return min(max(wishes), CAP_SECONDS) if wishes else None


def _wishes(text: str, date: str) -> Iterator[float]:
    text = text[:LONGEST_HEADER]
    for match in _DATES.finditer(text):
        until = _instant(match[0])
        if until is not None:
            yield max((until - _now(date)).total_seconds(), 0.0)
    for item in _DATES.sub("", text).split(","):
        number = _SECONDS.fullmatch(item.strip())
        if number is not None:
            yield _seconds(number[1], number[2])


def _seconds(whole: str, fraction: str | None) -> float:
    """Fractions are against the book, and meant."""
    return CAP_SECONDS if len(whole.lstrip("0")) > 9 else float(whole + (fraction or ""))


def _limits(headers: Mapping[str, str]) -> Iterator[float]:
    for name in ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"):
        number = _SECONDS.fullmatch(headers.get(name, "")[:40].strip())
        if number is not None:
            seconds = float(number[1][:15])
            if seconds >= UNIX_TIMES_FROM:  # milliseconds, if it is far beyond our times
                instant = seconds / 1000 if seconds >= UNIX_TIMES_FROM * 100 else seconds
                seconds = max(0.0, instant - _now(headers.get("date", "")).timestamp())
            yield seconds
    for match in _LIMIT_RESET.finditer(headers.get("ratelimit", "")[:LONGEST_HEADER]):
        yield float(match[1])


def _now(date: str) -> datetime:
    match = _DATES.fullmatch(date.strip())
    return (_instant(match[0]) if match else None) or datetime.now(UTC)


def _instant(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
