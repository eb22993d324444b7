"""When a schedule is due around the changes of the clock.

The tables hold literal instants, worked out by hand from the changes named above each of them. Local times are in
the comments where they help. `tests/unit/test_schedule_rules.py` holds what is true for all zones and lines.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from triggers.schedules import zones
from triggers.schedules.catching_up import instants_within
from triggers.schedules.instants import Schedule, instants_after, last_within, next_after

# Europe/Berlin: 2026-03-29 and 2027-03-28 at 01:00Z from 02:00 to 03:00 (+1 to +2);
# 2026-10-25 and 2027-10-31 at 01:00Z from 03:00 to 02:00 (+2 to +1).
BERLIN = [
    ("30 2 * * *", "2026-03-27T12:00Z", ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"]),
    ("0 2 * * *", "2026-03-27T12:00Z", ["2026-03-28T01:00Z", "2026-03-29T01:00Z", "2026-03-30T00:00Z"]),
    ("0 3 * * *", "2026-03-27T12:00Z", ["2026-03-28T02:00Z", "2026-03-29T01:00Z", "2026-03-30T01:00Z"]),
    ("59 1 * * *", "2026-03-27T12:00Z", ["2026-03-28T00:59Z", "2026-03-29T00:59Z", "2026-03-29T23:59Z"]),
    # 02:00, 02:30 and 03:00 are one instant
    (
        "0,30 2,3 * * *",
        "2026-03-28T12:00Z",
        ["2026-03-29T01:00Z", "2026-03-29T01:30Z", "2026-03-30T00:00Z", "2026-03-30T00:30Z"],
    ),
    ("0 * * * *", "2026-03-28T23:30Z", ["2026-03-29T00:00Z", "2026-03-29T01:00Z", "2026-03-29T02:00Z"]),
    ("30 * * * *", "2026-03-29T00:00Z", ["2026-03-29T00:30Z", "2026-03-29T01:30Z", "2026-03-29T02:30Z"]),
    (
        "*/15 * * * *",
        "2026-03-29T00:30Z",
        ["2026-03-29T00:45Z", "2026-03-29T01:00Z", "2026-03-29T01:15Z", "2026-03-29T01:30Z"],
    ),
    # by elapsed time nothing is made up for 02:00, which the clock never shows: 00:00, 04:00, 06:00
    ("0 */2 * * *", "2026-03-28T22:30Z", ["2026-03-28T23:00Z", "2026-03-29T02:00Z", "2026-03-29T04:00Z"]),
    ("*/30 2 * * *", "2026-03-28T12:00Z", ["2026-03-30T00:00Z", "2026-03-30T00:30Z", "2026-03-31T00:00Z"]),
    ("30 2 * * *", "2026-10-24T12:00Z", ["2026-10-25T00:30Z", "2026-10-26T01:30Z", "2026-10-27T01:30Z"]),
    ("0 2 * * *", "2026-10-24T12:00Z", ["2026-10-25T00:00Z", "2026-10-26T01:00Z"]),
    ("0 3 * * *", "2026-10-24T12:00Z", ["2026-10-25T02:00Z", "2026-10-26T02:00Z"]),
    ("0 * * * *", "2026-10-24T23:30Z", ["2026-10-25T00:00Z", "2026-10-25T01:00Z", "2026-10-25T02:00Z"]),
    (
        "*/15 * * * *",
        "2026-10-25T00:30Z",
        ["2026-10-25T00:45Z", "2026-10-25T01:00Z", "2026-10-25T01:15Z", "2026-10-25T01:30Z"],
    ),
    (
        "*/30 2 * * *",
        "2026-10-24T12:00Z",
        [
            "2026-10-25T00:00Z",
            "2026-10-25T00:30Z",
            "2026-10-25T01:00Z",
            "2026-10-25T01:30Z",
            "2026-10-26T01:00Z",
        ],
    ),
    # fixed times: 02:00 and 02:30 once each, then 03:00
    (
        "0,30 2,3 * * *",
        "2026-10-24T12:00Z",
        [
            "2026-10-25T00:00Z",
            "2026-10-25T00:30Z",
            "2026-10-25T02:00Z",
            "2026-10-25T02:30Z",
            "2026-10-26T01:00Z",
        ],
    ),
    # taken up again within the repeated hour: today's is over
    ("30 2 * * *", "2026-10-25T01:10Z", ["2026-10-26T01:30Z"]),
    ("30 2 * * *", "2027-03-26T12:00Z", ["2027-03-27T01:30Z", "2027-03-28T01:00Z", "2027-03-29T00:30Z"]),
    ("0 * * * *", "2027-03-27T23:30Z", ["2027-03-28T00:00Z", "2027-03-28T01:00Z", "2027-03-28T02:00Z"]),
    ("30 2 * * *", "2027-10-29T12:00Z", ["2027-10-30T00:30Z", "2027-10-31T00:30Z", "2027-11-01T01:30Z"]),
    ("0 * * * *", "2027-10-30T23:30Z", ["2027-10-31T00:00Z", "2027-10-31T01:00Z", "2027-10-31T02:00Z"]),
    ("0 9 * * *", "2027-10-29T12:00Z", ["2027-10-30T07:00Z", "2027-10-31T08:00Z", "2027-11-01T08:00Z"]),
]

# America/New_York: 2026-03-08 and 2027-03-14 at 07:00Z from 02:00 to 03:00 (-5 to -4);
# 2026-11-01 and 2027-11-07 at 06:00Z from 02:00 to 01:00 (-4 to -5).
NEW_YORK = [
    ("30 2 * * *", "2026-03-06T12:00Z", ["2026-03-07T07:30Z", "2026-03-08T07:00Z", "2026-03-09T06:30Z"]),
    ("0 9 * * *", "2026-03-06T20:00Z", ["2026-03-07T14:00Z", "2026-03-08T13:00Z", "2026-03-09T13:00Z"]),
    ("0 * * * *", "2026-03-08T05:30Z", ["2026-03-08T06:00Z", "2026-03-08T07:00Z", "2026-03-08T08:00Z"]),
    ("0 */2 * * *", "2026-03-08T04:30Z", ["2026-03-08T05:00Z", "2026-03-08T08:00Z", "2026-03-08T10:00Z"]),
    ("30 2 * * *", "2026-03-08T06:59:30Z", ["2026-03-08T07:00Z", "2026-03-09T06:30Z"]),
    ("30 2 * * *", "2026-03-08T07:00Z", ["2026-03-09T06:30Z"]),
    ("30 1 * * *", "2026-10-31T00:00Z", ["2026-10-31T05:30Z", "2026-11-01T05:30Z", "2026-11-02T06:30Z"]),
    ("0 2 * * *", "2026-10-31T12:00Z", ["2026-11-01T07:00Z", "2026-11-02T07:00Z"]),
    ("0 * * * *", "2026-11-01T04:30Z", ["2026-11-01T05:00Z", "2026-11-01T06:00Z", "2026-11-01T07:00Z"]),
    (
        "*/20 1 * * *",
        "2026-11-01T04:00Z",
        [
            "2026-11-01T05:00Z",
            "2026-11-01T05:20Z",
            "2026-11-01T05:40Z",
            "2026-11-01T06:00Z",
            "2026-11-01T06:20Z",
            "2026-11-01T06:40Z",
            "2026-11-02T06:00Z",
        ],
    ),
    ("30 1 * * *", "2026-11-01T06:10Z", ["2026-11-02T06:30Z"]),
    ("30 2 * * *", "2027-03-12T12:00Z", ["2027-03-13T07:30Z", "2027-03-14T07:00Z", "2027-03-15T06:30Z"]),
    ("0 * * * *", "2027-03-14T05:30Z", ["2027-03-14T06:00Z", "2027-03-14T07:00Z", "2027-03-14T08:00Z"]),
    ("30 1 * * *", "2027-11-05T12:00Z", ["2027-11-06T05:30Z", "2027-11-07T05:30Z", "2027-11-08T06:30Z"]),
    ("0 * * * *", "2027-11-07T04:30Z", ["2027-11-07T05:00Z", "2027-11-07T06:00Z", "2027-11-07T07:00Z"]),
]

# Australia/Lord_Howe changes by half an hour. 5 April 2026 and 4 April 2027, 15:00Z of the day before, from 02:00 to
# 01:30 (+11 to +10:30); 4 October 2026 and 3 October 2027, 15:30Z of the day before, from 02:00 to 02:30.
LORD_HOWE = [
    ("45 1 * * *", "2026-04-03T00:00Z", ["2026-04-03T14:45Z", "2026-04-04T14:45Z", "2026-04-05T15:15Z"]),
    # the day the clock goes back it shows 02:00 once: an hour and a half after 01:00
    ("0 2 * * *", "2026-04-03T00:00Z", ["2026-04-03T15:00Z", "2026-04-04T15:30Z", "2026-04-05T15:30Z"]),
    ("0 * * * *", "2026-04-04T13:30Z", ["2026-04-04T14:00Z", "2026-04-04T15:30Z", "2026-04-04T16:30Z"]),
    (
        "30 * * * *",
        "2026-04-04T13:00Z",
        ["2026-04-04T13:30Z", "2026-04-04T14:30Z", "2026-04-04T15:00Z", "2026-04-04T16:00Z"],
    ),
    ("0 */3 * * *", "2026-04-04T12:30Z", ["2026-04-04T13:00Z", "2026-04-04T16:30Z", "2026-04-04T19:30Z"]),
    (
        "*/15 1 * * *",
        "2026-04-04T13:30Z",
        [
            "2026-04-04T14:00Z",
            "2026-04-04T14:15Z",
            "2026-04-04T14:30Z",
            "2026-04-04T14:45Z",
            "2026-04-04T15:00Z",
            "2026-04-04T15:15Z",
            "2026-04-05T14:30Z",
        ],
    ),
    ("10 2 * * *", "2026-10-02T00:00Z", ["2026-10-02T15:40Z", "2026-10-03T15:30Z", "2026-10-04T15:10Z"]),
    ("45 2 * * *", "2026-10-02T00:00Z", ["2026-10-02T16:15Z", "2026-10-03T15:45Z", "2026-10-04T15:45Z"]),
    ("0 * * * *", "2026-10-03T14:00Z", ["2026-10-03T14:30Z", "2026-10-03T16:00Z", "2026-10-03T17:00Z"]),
    (
        "*/15 * * * *",
        "2026-10-03T15:00Z",
        ["2026-10-03T15:15Z", "2026-10-03T15:30Z", "2026-10-03T15:45Z", "2026-10-03T16:00Z"],
    ),
    ("45 1 * * *", "2027-04-02T00:00Z", ["2027-04-02T14:45Z", "2027-04-03T14:45Z", "2027-04-04T15:15Z"]),
    ("30 * * * *", "2027-04-03T14:00Z", ["2027-04-03T14:30Z", "2027-04-03T15:00Z", "2027-04-03T16:00Z"]),
    ("10 2 * * *", "2027-10-01T00:00Z", ["2027-10-01T15:40Z", "2027-10-02T15:30Z", "2027-10-03T15:10Z"]),
]

# Africa/Casablanca, as tzdata 2026f knows it: back for Ramadan on 2026-02-15 at 02:00Z from 03:00 to 02:00 (+1 to 0),
# forward on 2026-03-22 at 02:00Z from 02:00 to 03:00, and back for good on 2026-09-20 at 01:00Z from 02:00 to 01:00.
# 2027 has no change; data of 2025 still had one on 7 February and one on 14 March.
CASABLANCA = [
    ("30 2 * * *", "2026-02-13T12:00Z", ["2026-02-14T01:30Z", "2026-02-15T01:30Z", "2026-02-16T02:30Z"]),
    ("0 * * * *", "2026-02-15T00:30Z", ["2026-02-15T01:00Z", "2026-02-15T02:00Z", "2026-02-15T03:00Z"]),
    ("30 2 * * *", "2026-03-20T12:00Z", ["2026-03-21T02:30Z", "2026-03-22T02:00Z", "2026-03-23T01:30Z"]),
    ("30 * * * *", "2026-03-22T01:00Z", ["2026-03-22T01:30Z", "2026-03-22T02:30Z", "2026-03-22T03:30Z"]),
    ("30 1 * * *", "2026-09-18T12:00Z", ["2026-09-19T00:30Z", "2026-09-20T00:30Z", "2026-09-21T01:30Z"]),
    ("0 * * * *", "2026-09-19T23:30Z", ["2026-09-20T00:00Z", "2026-09-20T01:00Z", "2026-09-20T02:00Z"]),
    ("30 2 * * *", "2027-02-05T12:00Z", ["2027-02-06T02:30Z", "2027-02-07T02:30Z", "2027-02-08T02:30Z"]),
    ("30 2 * * *", "2027-03-12T12:00Z", ["2027-03-13T02:30Z", "2027-03-14T02:30Z", "2027-03-15T02:30Z"]),
]

# What changes at midnight, over the end of a day, or by a whole day.
ELSEWHERE = [
    # Cairo, 2026-04-24 from 00:00 to 01:00: the day's first minute is 01:00, 23 April 22:00Z (+2 to +3)
    ("Africa/Cairo", "0 0 * * *", "2026-04-22T12:00Z", ["2026-04-22T22:00Z", "2026-04-23T22:00Z", "2026-04-24T21:00Z"]),
    # Apia left out 30 December 2011: what was due on it is due when the 31st began, 30 December 10:00Z
    ("Pacific/Apia", "0 9 * * *", "2011-12-29T00:00Z", ["2011-12-29T19:00Z", "2011-12-30T10:00Z", "2011-12-30T19:00Z"]),
    ("Asia/Kathmandu", "0 9 * * *", "2026-03-01T00:00Z", ["2026-03-01T03:15Z", "2026-03-02T03:15Z"]),
    ("UTC", "30 2 29 2 *", "2026-03-29T00:00Z", ["2028-02-29T02:30Z", "2032-02-29T02:30Z"]),
]  # fmt: skip

TABLE = [
    *(("Europe/Berlin", *row) for row in BERLIN),
    *(("America/New_York", *row) for row in NEW_YORK),
    *(("Australia/Lord_Howe", *row) for row in LORD_HOWE),
    *(("Africa/Casablanca", *row) for row in CASABLANCA),
    *ELSEWHERE,
]


def schedule(zone: str, *lines: str) -> Schedule:
    found = zones.find(zone)
    assert found is not None
    return Schedule(lines, found)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(("zone", "line", "after", "due"), TABLE)
def test_the_instants_are_those_of_the_table(zone, line, after, due):
    found = islice(instants_after(schedule(zone, line), instant(after)), len(due))
    assert [one.at for one in found] == [instant(text) for text in due]


@pytest.mark.parametrize(("zone", "line", "after", "due"), TABLE)
def test_it_makes_no_difference_at_which_moment_it_is_taken_up_again(zone, line, after, due):
    moments = [instant(after), *map(instant, due)]
    assert [next_after(schedule(zone, line), moment) for moment in moments[:-1]] == moments[1:]


@pytest.mark.parametrize(("zone", "line", "after", "due"), TABLE)
def test_the_last_instant_found_from_the_end_is_the_same(zone, line, after, due):
    one = schedule(zone, line)
    found = [last_within(one, instant(after), instant(text)) for text in due]
    assert found == [instant(text) for text in due]


@pytest.mark.parametrize(
    ("begins", "ends", "hours"),
    [
        ("2026-03-08T05:00Z", "2026-03-09T04:00Z", 23),
        ("2026-11-01T04:00Z", "2026-11-02T05:00Z", 25),
        ("2026-06-01T04:00Z", "2026-06-02T04:00Z", 24),
    ],
)
def test_a_day_in_new_york_has_as_many_hours_as_pass(begins, ends, hours):
    for line, times in [
        ("59 * * * *", 1),
        ("14,29,44,59 * * * *", 4),
        ("*/15 * * * *", 4),
        ("* * * * *", 60),
    ]:
        found = list(instants_within(schedule("America/New_York", line), instant(begins), instant(ends)))
        assert len(found) == hours * times, line


def test_two_lines_are_due_when_either_is_and_once_when_both_are():
    both = schedule("UTC", "0 9 * * *", "0 9,10 1 * *")
    found = islice(instants_after(both, instant("2026-01-31T12:00Z")), 3)
    assert [one.at for one in found] == [
        instant("2026-02-01T09:00Z"),
        instant("2026-02-01T10:00Z"),
        instant("2026-02-02T09:00Z"),
    ]


def test_an_instant_is_never_due_at_the_moment_it_is_asked_from_but_a_moment_before_it_is():
    daily = schedule("UTC", "0 9 * * *")
    assert next_after(daily, instant("2026-05-01T08:59:59.999999Z")) == instant("2026-05-01T09:00Z")
    assert next_after(daily, instant("2026-05-01T09:00Z")) == instant("2026-05-02T09:00Z")
    assert next_after(daily, instant("2026-05-01T09:00:00.000001Z")) == instant("2026-05-02T09:00Z")


def test_nothing_was_due_between_two_instants():
    daily = schedule("UTC", "0 9 * * *")
    assert last_within(daily, instant("2026-05-01T09:00Z"), instant("2026-05-02T08:59:59Z")) is None


def test_a_leap_day_on_a_sunday_is_found_although_2100_has_none():
    leap_sunday = schedule("UTC", "0 0 29 2 */7")
    found = islice(instants_after(leap_sunday, instant("2060-03-01T00:00Z")), 2)
    assert [one.at for one in found] == [
        instant("2088-02-29T00:00Z")
    ]  # the next is in 2128, over 50 years away


def test_zones_are_read_from_the_pinned_package_whatever_the_host_has():
    casablanca = zones.find("Africa/Casablanca")
    assert casablanca is not None
    summer = instant("2027-07-01T12:00Z").astimezone(casablanca)
    assert summer.hour == 12  # data from before 2026 says 13


@pytest.mark.parametrize(
    "name", ["", "europe/berlin", "Europe", "../Europe/Berlin", "/etc/passwd", "Factory", "localtime", "Europe/Bonn"]
)  # fmt: skip
def test_there_is_no_zone_of_another_name(name):
    assert zones.find(name) is None
