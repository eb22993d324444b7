"""The instants at which a schedule is due. Pure.

cronsim says which days, hours and minutes a line means; it is only ever asked about naive wall times. The changes
of the clock are ours: asked with a zone, cronsim loses instants where a clock changes by half an hour (Lord Howe:
`0 */3 * * *` would leave out 03:00), and can go back in time when it is resumed within a repeated hour.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from cronsim import CronSim

from triggers.schedules.zones import ONE_SECOND, Stretch, stretches

# As far as cronsim looks. 29 February falls on a given weekday at least every 40 years.
HORIZON = timedelta(days=50 * 366)


@dataclass(frozen=True)
class Schedule:
    """Due whenever one of the lines matches the zone's clock. Each line has five valid fields."""

    lines: tuple[str, ...]
    zone: ZoneInfo

    @cached_property
    def follows_the_clock(self) -> bool:
        """By elapsed time: due at each minute that the clock shows and the line means, as often as it shows it.

        So it is with a `*` in minute or hour. The others have fixed times of day, due once a day: a skipped one
        at the first minute there is, a repeated one at its first.
        """
        return any("*" in field for line in self.lines for field in line.split()[:2])


@dataclass(frozen=True)
class Instant:
    at: datetime  # UTC
    wall: datetime  # the time of day that it is due for; the clock shows another if it skipped this one


def spelled(at: datetime) -> str:
    """An instant as JSON, keys and people have it: in UTC, with Z."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


def instants_after(schedule: Schedule, after: datetime) -> Iterator[Instant]:
    """Every instant later than `after` within the horizon, strictly increasing."""
    last = after = after.astimezone(UTC)
    for stretch in stretches(schedule.zone, after, after + HORIZON):
        for wall in _walls_from(schedule.lines, _first_wall(schedule, stretch, after)):
            if wall >= stretch.end_wall:
                break
            at = stretch.instant_of(wall)
            if at > last:
                yield Instant(at, wall)
                last = at
        else:
            return  # the lines mean no later time at all


def next_after(schedule: Schedule, after: datetime) -> datetime | None:
    """The first instant later than `after`; None when there is none within 50 years."""
    found = next(instants_after(schedule, after), None)
    return found.at if found else None


def last_within(schedule: Schedule, after: datetime, until: datetime) -> datetime | None:
    """The last instant in (after, until], found from the end: as quick after a year as after a minute."""
    after, until = after.astimezone(UTC), until.astimezone(UTC)
    for stretch in reversed(list(stretches(schedule.zone, after, until))):
        end = min(until, stretch.ends_at - ONE_SECOND)
        wall = _last_wall(schedule.lines, stretch.wall_of(end))
        if wall is not None and wall >= _first_wall(schedule, stretch, after):
            at = stretch.instant_of(wall)
            if at > after:
                return at
    return None


def is_ever_due(line: str) -> bool:
    """Whether a line that cronsim can read means any day at all: no 1st is a second Monday (`0 0 */31 * MON#2`)."""
    return next(_walls_from((line,), datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)), None) is not None


def _first_wall(schedule: Schedule, stretch: Stretch, after: datetime) -> datetime:
    """The first wall time of a stretch that is its own to judge, and not over at `after`.

    A fixed time of day that was skipped belongs to the stretch behind the change, one that is repeated to the
    stretch before it. By elapsed time a stretch has what its clock shows.
    """
    begin = stretch.begin_wall if schedule.follows_the_clock else stretch.begin_wall_unchanged
    return max(begin, stretch.wall_of(after)) if after >= stretch.begins_at else begin


def _walls_from(lines: tuple[str, ...], first: datetime) -> Iterator[datetime]:
    """The wall times that the lines mean, from that second on, each once."""
    last = None
    for wall in heapq.merge(*(CronSim(line, first - ONE_SECOND) for line in lines)):
        if wall != last:
            yield wall
        last = wall


def _last_wall(lines: tuple[str, ...], until: datetime) -> datetime | None:
    """The last wall time that the lines mean, not later than `until`."""
    upper = until.replace(microsecond=0) + ONE_SECOND
    found = (next(CronSim(line, upper, reverse=True), None) for line in lines)
    return max((wall for wall in found if wall is not None), default=None)
