"""What is true of schedules in every zone: judged minute by minute, without any of the arithmetic of the code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_schedule_instants import instant, schedule
from triggers.schedules import zones
from triggers.schedules.catching_up import instants_within
from triggers.schedules.instants import instants_after, last_within

MINUTE = timedelta(minutes=1)

# Changes of every kind: by an hour, half an hour, two hours and a day, at midnight, over midnight, in odd offsets.
CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00Z"),
    ("America/New_York", "2027-03-14T07:00Z"),
    ("America/New_York", "2027-11-07T06:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
    ("Africa/Casablanca", "2026-02-15T02:00Z"),
    ("Africa/Casablanca", "2026-03-22T02:00Z"),
    ("Africa/Cairo", "2026-04-23T22:00Z"),
    ("Africa/Cairo", "2026-10-29T21:00Z"),
    ("America/Havana", "2026-11-01T05:00Z"),
    ("Antarctica/Troll", "2026-03-29T01:00Z"),
    ("Antarctica/Troll", "2026-10-25T01:00Z"),
    ("Pacific/Chatham", "2026-04-04T14:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),
]

minutes = st.sampled_from(["0", "30", "59", "7,38", "10-20", "*", "*/7", "*/15", "*/30"])
hours = st.sampled_from(["0", "1", "2", "3", "23", "1-3", "0,2,22", "*", "*/2", "*/3", "*/5"])
days = st.sampled_from(["* * *", "* * *", "*/2 * *", "* * 0,6", "L * *"])
lines = st.builds(lambda *fields: " ".join(fields), minutes, hours, days)
years = st.integers(2024, 2034)
zone_names = st.sampled_from(sorted(zones.names()))


def clock(zone: str, at: datetime) -> datetime:
    found = zones.find(zone)
    assert found is not None
    return at.astimezone(found).replace(tzinfo=None)


def is_meant(line: str, wall: datetime) -> bool:
    return next(CronSim(line, wall - timedelta(seconds=1))) == wall


def by_watching_the_clock(zone: str, line: str, begin: datetime, minutes_long: int) -> list[datetime]:
    """Due whenever the clock shows a minute that the line means."""
    watched = (begin + MINUTE * n for n in range(1, minutes_long + 1))
    return [at for at in watched if is_meant(line, clock(zone, at))]


def by_crossing_off_times_of_day(zone: str, line: str, begin: datetime, minutes_long: int) -> list[datetime]:
    """Each time of day is crossed off when the clock first shows it or a later one, and fires if it is meant."""
    due = []
    crossed_off = clock(zone, begin)
    for at in (begin + MINUTE * n for n in range(1, minutes_long + 1)):
        passed = []
        while crossed_off < clock(zone, at):
            crossed_off += MINUTE
            passed.append(crossed_off)
        if any(is_meant(line, wall) for wall in passed):
            due.append(at)
    return due


@settings(max_examples=60)
@given(change=st.sampled_from(CHANGES), line=lines, hours_before=st.integers(1, 5))
def test_the_instants_are_what_somebody_watching_the_clock_would_write_down(change, line, hours_before):
    zone, text = change
    begin = instant(text) - timedelta(hours=hours_before)
    watch = by_watching_the_clock if "*" in "".join(line.split()[:2]) else by_crossing_off_times_of_day
    expected = watch(zone, line, begin, 480)
    one = schedule(zone, line)
    assert list(instants_within(one, begin, begin + MINUTE * 480)) == expected
    assert last_within(one, begin, begin + MINUTE * 480) == (expected[-1] if expected else None)


@settings(max_examples=60)
@given(change=st.sampled_from(CHANGES), line=lines, seconds=st.integers(0, 3 * 86_400))
def test_whoever_takes_it_up_again_at_any_moment_goes_on_where_it_was(change, line, seconds):
    zone, text = change
    begin = instant(text) - timedelta(days=1)
    moment = begin + timedelta(seconds=seconds)
    one = schedule(zone, line)
    due = [found.at for found in islice(instants_after(one, begin), 400)]
    assert all(earlier < later for earlier, later in pairwise(due))
    later = [at for at in due if at > moment]
    assert [found.at for found in islice(instants_after(one, moment), len(later))] == later
    if moment < due[-1]:
        assert last_within(one, begin, moment) == max((at for at in due if at <= moment), default=None)


@settings(max_examples=40)
@given(zone=zone_names, year=years, hour=st.integers(0, 23), minute=st.integers(0, 59))
def test_a_time_of_day_is_due_once_on_every_day_of_a_year(zone, year, hour, minute):
    begin = datetime(year, 1, 1, 12, tzinfo=UTC)
    found = list(islice(instants_after(schedule(zone, f"{minute} {hour} * * *"), begin), 365))
    walls = [one.wall for one in found]
    assert [(wall.hour, wall.minute) for wall in walls] == [(hour, minute)] * 365
    assert {later - earlier for earlier, later in pairwise(walls)} == {timedelta(days=1)}
    assert all(one.wall <= clock(zone, one.at) <= one.wall + timedelta(hours=3) for one in found)


@settings(max_examples=30)
@given(zone=zone_names, year=years)
def test_every_change_of_a_clock_in_a_year_is_known(zone, year):
    begin, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    found = zones.find(zone)
    assert found is not None
    known = list(zones.stretches(found, begin, end))
    hour = begin
    while hour < end:
        [stretch] = [one for one in known if one.begins_at <= hour < one.ends_at]
        assert stretch.wall_of(hour) == clock(zone, hour)
        hour += timedelta(hours=3)
    for earlier, later in pairwise(known):
        assert earlier.ends_at == later.begins_at
        assert earlier.offset == later.offset_before != later.offset
        assert clock(zone, later.begins_at) == later.begin_wall


def test_every_zone_can_be_read():
    for name in zones.names():
        found = zones.find(name)
        assert found is not None
        assert found.key == name
