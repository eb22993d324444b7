"""IANA time zones from the pinned package `tzdata`, never from the host, and the changes of their clocks. Pure.

Hosts differ in the age of their own time zone data, and `zoneinfo` prefers it. Two of them would then disagree
about when a schedule is due. Processes differ too, while a new release is brought out: `version` says whose data these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import import_module, resources
from zoneinfo import ZoneInfo

ONE_SECOND = timedelta(seconds=1)
LONGEST_CHANGE = timedelta(days=2)  # no clock ever changed by more than 24 hours
NO_PLACE = frozenset({"Factory"})  # in the data to say that nobody chose a zone


@lru_cache(maxsize=1)
def version() -> str:
    """Of the data that this process computes with, as IANA names it, such as `2026f`. Later ones sort behind earlier ones.

    That of the package, because no other data are read; read once, as the zones are.
    """
    return str(import_module("tzdata").IANA_VERSION)


@lru_cache(maxsize=1)
def names() -> frozenset[str]:
    """Every zone that a schedule may name, such as `Europe/Berlin` and `UTC`."""
    return frozenset((resources.files("tzdata") / "zones").read_text("ascii").split()) - NO_PLACE


@lru_cache(maxsize=1024)
def find(name: str) -> ZoneInfo | None:
    """The zone of that exact name, or None when there is none."""
    if name not in names():
        return None
    file = (resources.files("tzdata") / "zoneinfo").joinpath(*name.split("/"))
    with file.open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


@dataclass(frozen=True)
class Stretch:
    """The time between two changes of a clock. In it, wall time is UTC plus a constant.

    Walls are naive datetimes: what the clock on the wall shows. `begins_at` is in the stretch, `ends_at` is not.
    """

    begins_at: datetime
    ends_at: datetime
    offset: timedelta
    offset_before: timedelta  # the same as `offset` when the clock did not change at `begins_at`

    @property
    def begin_wall(self) -> datetime:
        """What the clock shows when the stretch begins, after it was changed."""
        return self.wall_of(self.begins_at)

    @property
    def begin_wall_unchanged(self) -> datetime:
        """What the clock would show then if nobody had changed it: up to here the days before have been."""
        return (self.begins_at + self.offset_before).replace(tzinfo=None)

    @property
    def end_wall(self) -> datetime:
        return self.wall_of(self.ends_at)

    def wall_of(self, at: datetime) -> datetime:
        return (at + self.offset).replace(tzinfo=None)

    def instant_of(self, wall: datetime) -> datetime:
        """When the clock shows that. A wall before the beginning was skipped by the change: the beginning."""
        return max(wall.replace(tzinfo=UTC) - self.offset, self.begins_at)


def stretches(zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[Stretch]:
    """The stretches that hold (after, until], oldest first.

    The first one truly begins where it says if that is within two days before `after`; otherwise its beginning is
    no change of the clock. The last one ends a second behind `until`, if not earlier.
    """
    begins_at = after - LONGEST_CHANGE
    offset = offset_before = offset_at(zone, begins_at)
    for changed_at in _changes(zone, begins_at, until):
        if changed_at > after:
            yield Stretch(begins_at, changed_at, offset, offset_before)
        begins_at, offset_before, offset = changed_at, offset, offset_at(zone, changed_at)
    yield Stretch(begins_at, until + ONE_SECOND, offset, offset_before)


def _changes(zone: ZoneInfo, start: datetime, until: datetime) -> Iterator[datetime]:
    """The instants in (start, until] from which on another offset holds."""
    for year in range(start.year, until.year + 1):
        yield from (at for at in _changes_of_year(zone, year) if start < at <= until)


@lru_cache(maxsize=4096)
def _changes_of_year(zone: ZoneInfo, year: int) -> tuple[datetime, ...]:
    """Looked for day by day: two changes within one day would go unseen; there are none in any zone since 1970."""
    day = datetime(year, 1, 1, tzinfo=UTC)
    found = []
    while day.year == year:
        next_day = day + timedelta(days=1)
        if offset_at(zone, day) != offset_at(zone, next_day):
            found.append(_change_between(zone, day, next_day))
        day = next_day
    return tuple(found)


def _change_between(zone: ZoneInfo, before: datetime, behind: datetime) -> datetime:
    """The first second with the later offset, by halving."""
    old = offset_at(zone, before)
    while behind - before > ONE_SECOND:
        middle = before + timedelta(seconds=(behind - before) // ONE_SECOND // 2)
        if offset_at(zone, middle) == old:
            before = middle
        else:
            behind = middle
    return behind


def offset_at(zone: ZoneInfo, at: datetime) -> timedelta:
    """What the zone's clock is ahead of UTC."""
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return offset
