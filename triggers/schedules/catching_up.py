"""What to do about the instants that went by since a schedule was looked at last. Pure.

Usually that is one instant, a second ago. After downtime it may be any number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile

from triggers.schedules.instants import Schedule, instants_after, last_within, next_after

BATCH_LIMIT = 100  # instants fired by one catching up, so in one transaction
# An instant found no later than this is on time for `none`: a restart or a failover misses nothing.
ON_TIME = timedelta(seconds=30)


class Missed(StrEnum):
    """Which of the due instants fire. `ALL` and `LATEST` fire however late it is."""

    ALL = "all"  # each of them, oldest first
    LATEST = "latest"  # the last of them
    NONE = "none"  # the last of them, if it is on time


@dataclass(frozen=True)
class CatchUp:
    """What fires now, and from where to look next time."""

    fire: tuple[datetime, ...]  # UTC, oldest first
    settled_until: datetime  # the next `after`: everything up to here has fired or never will
    next_due_at: datetime | None  # the first instant behind it; not later than now when the batch was full


def instants_within(schedule: Schedule, after: datetime, until: datetime) -> Iterator[datetime]:
    """Every instant in (after, until], oldest first. Any number: take a slice of it."""
    due = takewhile(lambda instant: instant.at <= until, instants_after(schedule, after))
    return (instant.at for instant in due)


def catch_up(
    schedule: Schedule,
    missed: Missed,
    *,
    after: datetime,
    now: datetime,
    limit: int = BATCH_LIMIT,
    on_time: timedelta = ON_TIME,
) -> CatchUp:
    """Which of the instants in (after, now] fire.

    With `ALL` at most `limit` do; when more are due, `next_due_at` is not later than `now`: come again at once.
    The other policies settle everything in one go and cost the same after a minute and after a year.
    The result depends on nothing but the arguments: two who catch up from the same `after` fire the same.
    """
    after, now = after.astimezone(UTC), now.astimezone(UTC)
    if now <= after:  # the database's clock was set back, or there is nothing to do
        return CatchUp((), after, next_after(schedule, after))
    if missed is Missed.ALL:
        fire = tuple(islice(instants_within(schedule, after, now), limit))
        settled_until = fire[-1] if len(fire) == limit else now
    else:
        last = last_within(schedule, after, now)
        is_wanted = last is not None and (missed is Missed.LATEST or now - last <= on_time)
        fire = (last,) if last is not None and is_wanted else ()
        settled_until = now
    return CatchUp(fire, settled_until, next_after(schedule, settled_until))
