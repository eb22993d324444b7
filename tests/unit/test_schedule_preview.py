"""The next instants as people see them, with the changes of the clock marked."""

from __future__ import annotations

import pytest

from tests.unit.test_schedule_instants import instant, schedule
from triggers.schedules.preview import as_json, preview


def seen(zone, line, after, length):
    """(local time, mark) of each entry."""
    entries = preview(schedule(zone, line), instant(after), length)
    return [(entry.local.isoformat(timespec="minutes"), entry.mark) for entry in entries]


@pytest.mark.parametrize(
    ("zone", "line", "after", "entries"),
    [
        # the hour from 02:00 is skipped
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-03-27T12:00Z",
            [
                ("2026-03-28T02:30+01:00", None),
                ("2026-03-29T03:00+02:00", "moved"),
                ("2026-03-30T02:30+02:00", None),
            ],
        ),
        (
            "Europe/Berlin",
            "0 9 * * *",
            "2026-03-27T12:00Z",
            [
                ("2026-03-28T09:00+01:00", None),
                ("2026-03-29T09:00+02:00", "clock_changed"),
                ("2026-03-30T09:00+02:00", None),
            ],
        ),
        # the hour from 02:00 is repeated
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-10-23T12:00Z",
            [
                ("2026-10-24T02:30+02:00", None),
                ("2026-10-25T02:30+02:00", "repeated_first"),
                ("2026-10-26T02:30+01:00", "clock_changed"),
            ],
        ),
        (
            "Europe/Berlin",
            "0 * * * *",
            "2026-10-24T22:30Z",
            [
                ("2026-10-25T01:00+02:00", None),
                ("2026-10-25T02:00+02:00", "repeated_first"),
                ("2026-10-25T02:00+01:00", "repeated_again"),
                ("2026-10-25T03:00+01:00", None),
            ],
        ),
        (
            "Australia/Lord_Howe",
            "10 2 * * *",
            "2026-10-02T00:00Z",
            [
                ("2026-10-03T02:10+10:30", None),
                ("2026-10-04T02:30+11:00", "moved"),
                ("2026-10-05T02:10+11:00", None),
            ],
        ),
        # the change may lie between the present and the first entry
        ("America/New_York", "0 9 * * 1", "2026-03-07T12:00Z", [("2026-03-09T09:00-04:00", "clock_changed")]),
    ],
)
def test_the_changes_of_the_clock_are_marked(zone, line, after, entries):
    assert seen(zone, line, after, len(entries)) == entries


@pytest.mark.parametrize(
    ("zone", "line", "after", "details"),
    [
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00Z", ["The clock skips 02:30; 03:00 is the first minute behind it.", ""]),
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            "2026-04-04T00:00Z",
            [
                "The clock shows 01:45 twice; only the first time counts.",
                "The clock went back by 30 minutes since the instant before.",
            ],
        ),
        (
            "America/New_York",
            "0 */1 * * *",
            "2026-11-01T04:30Z",
            [
                "The clock shows 01:00 twice; this is the first time.",
                "The clock shows 01:00 twice; this is the second time.",
            ],
        ),
        ("America/New_York", "0 9 * * *", "2026-03-07T15:00Z", ["The clock went forward by 60 minutes since the instant before."]),
    ],
)  # fmt: skip
def test_each_mark_is_told_in_a_sentence(zone, line, after, details):
    found = preview(schedule(zone, line), instant(after), len(details))
    assert [entry.detail for entry in found] == details


def test_a_preview_has_ten_entries():
    found = preview(schedule("UTC", "0 9 * * *"), instant("2026-05-01T12:00Z"))
    assert [entry.at.day for entry in found] == list(range(2, 12))
    assert all(entry.mark is None for entry in found)


def test_it_is_shorter_when_fewer_instants_come_within_fifty_years():
    assert len(preview(schedule("UTC", "0 0 29 2 */7"), instant("2026-01-01T00:00Z"))) == 2  # 2032, 2060


def test_an_entry_as_json():
    [entry] = preview(schedule("Europe/Berlin", "30 2 * * *"), instant("2026-03-28T12:00Z"), 1)
    assert as_json(entry) == {
        "at": "2026-03-29T01:00:00Z",
        "local": "2026-03-29T03:00:00+02:00",
        "clock": "moved",
        "detail": "The clock skips 02:30; 03:00 is the first minute behind it.",
    }
