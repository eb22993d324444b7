"""What may be written as a schedule, what is wrong with the rest and where, and which instants it means."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import RequestRefused
from tests.unit.test_schedule_instants import instant
from triggers.kinds.schedule import Schedule as ScheduleKind
from triggers.schedules.catching_up import Missed
from triggers.schedules.config import ScheduleConfig, problems_of, read
from triggers.schedules.instants import instants_after
from workflows.problems import problems_of_model


def judged(config):
    """(pointer, code) of all problems, as publishing would tell them."""
    try:
        written = ScheduleConfig.model_validate(config)
    except ValidationError as error:
        problems = problems_of_model(error, config, code="config.invalid")
    else:
        problems = problems_of(written)
    assert all(problem.code in CATALOGUE and problem.detail for problem in problems)
    return [(problem.pointer, problem.code) for problem in problems]


@pytest.mark.parametrize(
    ("config", "after", "due"),
    [
        ({"cron": "0 9 * * *"}, "2026-05-01T10:00Z", ["2026-05-02T09:00Z"]),
        ({"cron": " 0\t9  * *\n* "}, "2026-05-01T10:00Z", ["2026-05-02T09:00Z"]),
        ({"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}, "2026-05-01T10:00Z", ["2026-05-04T07:00Z"]),
        ({"cron": "0 9 l * fri"}, "2026-05-01T10:00Z", ["2026-05-08T09:00Z"]),
        # Sunday is 0 and 7
        ({"cron": "0 9 * * 7"}, "2026-05-01T10:00Z", ["2026-05-03T09:00Z", "2026-05-10T09:00Z"]),
        # neither day nor weekday has a star: either is enough; 13 May 2026 is a Wednesday
        ({"cron": "0 9 13 5 fri"}, "2026-05-08T10:00Z", ["2026-05-13T09:00Z", "2026-05-15T09:00Z"]),
        # cron skips months without the day
        (
            {"cron": "0 9 31 * *"},
            "2027-01-01T00:00Z",
            ["2027-01-31T09:00Z", "2027-03-31T09:00Z", "2027-05-31T09:00Z"],
        ),
        (
            {"every": "day", "at": "09:00", "timezone": "America/New_York"},
            "2026-10-31T14:00Z",
            ["2026-11-01T14:00Z", "2026-11-02T14:00Z"],
        ),
        # Monday 26 October 2026 is before the change, Monday 2 November behind it
        (
            {"every": "week", "weekday": "mon", "at": "09:00", "timezone": "America/New_York"},
            "2026-10-25T12:00Z",
            ["2026-10-26T13:00Z", "2026-11-02T14:00Z", "2026-11-09T14:00Z"],
        ),
        ({"every": "week", "weekday": "sun", "at": "23:59"}, "2026-05-01T00:00Z", ["2026-05-03T23:59Z"]),
        # every month has its day, or else its last
        (
            {"every": "month", "day": 31, "at": "09:00", "timezone": "Europe/Berlin"},
            "2027-01-01T00:00Z",
            ["2027-01-31T08:00Z", "2027-02-28T08:00Z", "2027-03-31T07:00Z", "2027-04-30T07:00Z"],
        ),
        (
            {"every": "month", "day": 30, "at": "09:00"},
            "2027-01-01T00:00Z",
            ["2027-01-30T09:00Z", "2027-02-28T09:00Z", "2027-03-30T09:00Z", "2027-04-30T09:00Z"],
        ),
        (
            {"every": "month", "day": 29, "at": "09:00"},
            "2027-01-01T00:00Z",
            ["2027-01-29T09:00Z", "2027-02-28T09:00Z", "2027-03-29T09:00Z"],
        ),
        (
            {"every": "month", "day": 29, "at": "09:00"},
            "2028-01-30T00:00Z",
            ["2028-02-29T09:00Z", "2028-03-29T09:00Z"],
        ),
        (
            {"every": "month", "day": "last", "at": "00:00"},
            "2028-01-31T12:00Z",
            ["2028-02-29T00:00Z", "2028-03-31T00:00Z", "2028-04-30T00:00Z"],
        ),
        ({"every": "month", "day": 28, "at": "07:05"}, "2027-02-01T00:00Z", ["2027-02-28T07:05Z", "2027-03-28T07:05Z"]),
        # the last Sunday of March at 02:30 does not exist in Berlin
        (
            {"every": "week", "weekday": "sun", "at": "02:30", "timezone": "Europe/Berlin"},
            "2026-03-28T00:00Z",
            ["2026-03-29T01:00Z", "2026-04-05T00:30Z"],
        ),
    ],
)  # fmt: skip
def test_a_config_means_these_instants(config, after, due):
    assert judged(config) == []
    schedule, missed = read(config)
    found = islice(instants_after(schedule, instant(after)), len(due))
    assert [one.at for one in found] == [instant(text) for text in due]
    assert missed is Missed.LATEST


@pytest.mark.parametrize("missed", ["all", "latest", "none"])
def test_the_policy_for_missed_instants_comes_with_it(missed):
    assert read({"cron": "0 9 * * *", "missed": missed})[1] == Missed(missed)


@pytest.mark.parametrize(
    ("config", "problems"),
    [
        ({}, [("/cron", "config.invalid")]),
        ({"timezone": "Europe/Berlin"}, [("/cron", "config.invalid")]),
        ({"cron": "0 9 * * *", "every": "day", "at": "09:00"}, [("/every", "config.invalid")]),
        ({"cron": "0 9 * * *", "at": "09:00"}, [("/at", "config.invalid")]),
        ({"every": "day"}, [("/at", "config.invalid")]),
        ({"every": "week"}, [("/at", "config.invalid"), ("/weekday", "config.invalid")]),
        ({"every": "month", "at": "09:00"}, [("/day", "config.invalid")]),
        ({"every": "day", "at": "09:00", "day": 3}, [("/day", "config.invalid")]),
        ({"every": "month", "at": "09:00", "day": 3, "weekday": "mon"}, [("/weekday", "config.invalid")]),
        ({"every": "year", "at": "09:00"}, [("/every", "config.invalid")]),
        ({"every": "day", "at": "9:00"}, [("/at", "config.invalid")]),
        ({"every": "day", "at": "24:00"}, [("/at", "config.invalid")]),
        ({"every": "day", "at": "09:00\n"}, [("/at", "config.invalid")]),
        ({"every": "day", "at": "09:00:00"}, [("/at", "config.invalid")]),
        ({"every": "week", "at": "09:00", "weekday": "Monday"}, [("/weekday", "config.invalid")]),
        ({"every": "month", "at": "09:00", "day": 0}, [("/day", "config.invalid")]),
        ({"every": "month", "at": "09:00", "day": 32}, [("/day", "config.invalid")]),
        ({"every": "month", "at": "09:00", "day": "31"}, [("/day", "config.invalid")]),
        ({"every": "month", "at": "09:00", "day": True}, [("/day", "config.invalid")]),
        ({"cron": "0 9 * * *", "missed": "some"}, [("/missed", "config.invalid")]),
        ({"cron": "0 9 * * *", "zone": "UTC"}, [("/zone", "config.invalid")]),
        ({"cron": "0 9 * * *", "timezone": "Berlin"}, [("/timezone", "schedule.unknown_timezone")]),
        ({"cron": "0 9 * * *", "timezone": ""}, [("/timezone", "schedule.unknown_timezone")]),
        ({"cron": 5}, [("/cron", "config.invalid")]),
        ({"cron": "0 9 * * * " + "*" * 200}, [("/cron", "config.invalid")]),
        ({"cron": ""}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "@daily"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "0 9 * *"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "0 0 9 * * *"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "60 9 * * *"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "0 24 * * *"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "0 9 0 * *"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "0 9 * 13 *"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "0 9 31 13 *"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "0 9 * * 8"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "*/0 * * * *"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "0 17-9 * * *"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "０ 9 * * *"}, [("/cron", "schedule.invalid_cron")]),
        ({"cron": "0 9 30 2 *"}, [("/cron", "schedule.never_due")]),
        ({"cron": "0 9 31 4,6,9,11 *"}, [("/cron", "schedule.never_due")]),
        # the 1st is never a second Monday
        ({"cron": "0 9 */31 * MON#2"}, [("/cron", "schedule.never_due")]),
        (
            {"cron": "0 9 * * *", "at": "09:00", "timezone": "x"},
            [("/at", "config.invalid"), ("/timezone", "schedule.unknown_timezone")],
        ),
    ],
)
def test_what_is_no_schedule_is_told_where_and_why(config, problems):
    assert judged(config) == problems


@given(st.text("0123456789*/-,#LWMONFEB \t", max_size=40) | st.text(max_size=40))
@example("0 0 1 1 5L/2")
@example("0 0 1 1 MON#1/2")
@example("0 0 L/2 1 *")
@example("0 0 " + "9" * 150 + " 1 *")
@example("0 0 1 1 ²L")
@example("0 0 1 1 *,")
def test_any_text_is_either_a_schedule_or_has_one_problem(line):
    problems = judged({"cron": line})
    assert len(problems) <= 1
    if not problems:
        schedule, _ = read({"cron": line})
        assert next(instants_after(schedule, instant("2026-05-01T00:00Z")), None) is not None


def test_a_stored_config_that_can_no_longer_be_used_says_why():
    for config in ({"cron": "0 9 * * *", "timezone": "Mars/Olympus"}, {"cron": 5}):
        with pytest.raises(RequestRefused) as refused:
            read(config)
        assert refused.value.code == "config.invalid"
        assert len(refused.value.problems) == 1


def test_the_kind_leaves_the_shape_to_its_config_and_judges_the_rest():
    kind = ScheduleKind()
    assert kind.unpublishable({"cron": 5}) == []
    assert [one.pointer for one in kind.unpublishable({"cron": "x"})] == ["/cron"]
    assert kind.unpublishable({"every": "day", "at": "09:00"}) == []
