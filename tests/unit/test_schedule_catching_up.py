"""What fires of the instants that went by."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.unit.test_schedule_instants import instant, schedule
from triggers.schedules.catching_up import BATCH_LIMIT, CatchUp, Missed, catch_up

EVERY_MINUTE = schedule("UTC", "* * * * *")
DOWN_SINCE = instant("2026-05-01T00:00Z")
LAST = instant("2026-05-01T05:00Z")  # 300 minutes later
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(("missed", "fired"), [(Missed.ALL, 300), (Missed.LATEST, 1), (Missed.NONE, 0)])
def test_down_over_300_instants_fires_300_1_or_0(missed, fired):
    now = LAST + timedelta(seconds=40)
    result = catch_up(EVERY_MINUTE, missed, after=DOWN_SINCE, now=now, limit=1000)
    assert result.fire == tuple(LAST - MINUTE * n for n in reversed(range(fired)))
    assert (result.settled_until, result.next_due_at) == (now, LAST + MINUTE)


@pytest.mark.parametrize(
    ("late", "fired"),
    [(timedelta(0), 1), (timedelta(seconds=30), 1), (timedelta(seconds=30, microseconds=1), 0)],
)
def test_none_still_fires_what_is_on_time(late, fired):
    result = catch_up(EVERY_MINUTE, Missed.NONE, after=DOWN_SINCE, now=LAST + late)
    assert result.fire == (LAST,) * fired


def test_all_comes_in_batches_without_a_gap_or_an_overlap():
    now = LAST + timedelta(seconds=40)
    fired: list[datetime] = []
    after = DOWN_SINCE
    for remaining in (200, 100, 0, 0):
        result = catch_up(EVERY_MINUTE, Missed.ALL, after=after, now=now)
        assert result.next_due_at is not None
        assert (result.next_due_at <= now) is (remaining > 0)
        fired += result.fire
        after = result.settled_until
    assert fired == [DOWN_SINCE + MINUTE * n for n in range(1, 301)]
    assert len(fired) == 3 * BATCH_LIMIT


@pytest.mark.parametrize("missed", list(Missed))
def test_a_single_instant_fires_under_every_policy_and_once(missed):
    daily = schedule("Europe/Berlin", "30 2 * * *")
    moved = instant("2026-03-29T01:00Z")  # the clock skips 02:30
    now = moved + timedelta(seconds=1)
    first = catch_up(daily, missed, after=instant("2026-03-28T12:00Z"), now=now)
    assert first == CatchUp((moved,), now, instant("2026-03-30T00:30Z"))
    again = catch_up(daily, missed, after=first.settled_until, now=now + timedelta(seconds=1))
    assert again.fire == ()


@pytest.mark.parametrize(
    ("missed", "fired"),
    [
        (Missed.ALL, ["2026-10-24T00:30Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z"]),
        (Missed.LATEST, ["2026-10-26T01:30Z"]),
        (Missed.NONE, []),
    ],
)
def test_downtime_over_a_change_of_the_clock(missed, fired):
    daily = schedule("Europe/Berlin", "30 2 * * *")
    result = catch_up(daily, missed, after=instant("2026-10-23T12:00Z"), now=instant("2026-10-26T12:00Z"))
    assert result.fire == tuple(instant(text) for text in fired)


@pytest.mark.parametrize("missed", list(Missed))
@pytest.mark.parametrize("back", [timedelta(0), timedelta(hours=1)])
def test_a_clock_that_was_set_back_fires_nothing_and_forgets_nothing(missed, back):
    result = catch_up(EVERY_MINUTE, missed, after=LAST, now=LAST - back)
    assert result == CatchUp((), LAST, LAST + MINUTE)


def test_nothing_due_moves_on_without_firing():
    daily = schedule("UTC", "0 9 * * *")
    now = instant("2026-05-01T08:59:59Z")
    result = catch_up(daily, Missed.ALL, after=DOWN_SINCE, now=now)
    assert result == CatchUp((), now, instant("2026-05-01T09:00Z"))


def test_the_next_instant_may_be_decades_away():
    leap_sunday = schedule("UTC", "0 0 29 2 */7")
    result = catch_up(
        leap_sunday, Missed.ALL, after=instant("2088-01-01T00:00Z"), now=instant("2088-03-01T00:00Z")
    )
    assert result.fire == (instant("2088-02-29T00:00Z"),)
    assert result.next_due_at == instant("2128-02-29T00:00Z")
