"""The next instants of a schedule for people to look at, with what a change of the clock does to them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

from triggers.schedules.instants import Instant, Schedule, instants_after, spelled

PREVIEW_LENGTH = 10


class ClockMark(StrEnum):
    """What a change of the clock has to do with an instant; at most one, the first that applies."""

    MOVED = "moved"  # its time of day is skipped on that day: it is due at the first minute there is
    REPEATED_FIRST = "repeated_first"  # the clock shows this time twice, and this is the first time
    REPEATED_AGAIN = "repeated_again"  # and this the second
    CLOCK_CHANGED = "clock_changed"  # the clock was changed since the instant before it in the preview


@dataclass(frozen=True)
class PreviewEntry:
    at: datetime  # UTC
    local: datetime  # the same in the schedule's zone
    mark: ClockMark | None
    detail: str  # the mark as a sentence; empty without one


def preview(schedule: Schedule, after: datetime, length: int = PREVIEW_LENGTH) -> list[PreviewEntry]:
    """The next instants later than `after`; fewer when there are not as many within 50 years."""
    entries = []
    previous = after.astimezone(schedule.zone)
    for instant in islice(instants_after(schedule, after), length):
        entry = _entry(schedule, instant, previous)
        entries.append(entry)
        previous = entry.local
    return entries


def _entry(schedule: Schedule, instant: Instant, previous: datetime) -> PreviewEntry:
    local = instant.at.astimezone(schedule.zone)
    mark = _mark(instant, local, previous)
    return PreviewEntry(instant.at, local, mark, _sentence(mark, schedule, instant, local, previous))


def _mark(instant: Instant, local: datetime, previous: datetime) -> ClockMark | None:
    if instant.wall != local.replace(tzinfo=None):
        return ClockMark.MOVED
    if local.fold:
        return ClockMark.REPEATED_AGAIN
    if local.replace(fold=1).utcoffset() != local.utcoffset():
        return ClockMark.REPEATED_FIRST
    return ClockMark.CLOCK_CHANGED if _moved_by(local, previous) else None


def _sentence(
    mark: ClockMark | None, schedule: Schedule, instant: Instant, local: datetime, previous: datetime
) -> str:
    match mark:
        case ClockMark.MOVED:
            return f"The clock skips {instant.wall:%H:%M}; {local:%H:%M} is the first minute behind it."
        case ClockMark.REPEATED_FIRST if schedule.follows_the_clock:
            return f"The clock shows {local:%H:%M} twice; this is the first time."
        case ClockMark.REPEATED_FIRST:
            return f"The clock shows {local:%H:%M} twice; only the first time counts."
        case ClockMark.REPEATED_AGAIN:
            return f"The clock shows {local:%H:%M} twice; this is the second time."
        case ClockMark.CLOCK_CHANGED:
            change = _moved_by(local, previous)
            return f"The clock went {_words(change)} since the instant before."
        case None:
            return ""


def _moved_by(local: datetime, previous: datetime) -> timedelta:
    """How far the clock was put forward between the two; negative for back."""
    now, before = local.utcoffset(), previous.utcoffset()
    assert now is not None
    assert before is not None
    return now - before


def _words(change: timedelta) -> str:
    """`forward by 60 minutes`, `back by 30 minutes`."""
    minutes = abs(change) // timedelta(minutes=1)
    return f"{'back' if change < timedelta(0) else 'forward'} by {minutes} minutes"


def as_json(entry: PreviewEntry) -> dict[str, str | None]:
    """For API and admin: `at` in UTC with Z, `local` with its offset."""
    return {
        "at": spelled(entry.at),
        "local": entry.local.isoformat(),
        "clock": entry.mark.value if entry.mark else None,
        "detail": entry.detail,
    }
