"""Token buckets: what a limit lets through, what others spent, and how little is kept in memory."""

from __future__ import annotations

from typing import Any

import pytest

from triggers.throttling import buckets
from triggers.throttling.buckets import Buckets, Limit


class Table(Buckets):
    """Buckets with a clock that stands still until a test says what time it is."""

    instant = 100.0

    def __init__(self, **given: Any) -> None:
        super().__init__(clock=lambda: self.instant, **given)

    def at(self, instant: float) -> Table:
        self.instant = instant
        return self


TEN = Limit(rate=10, burst=5)
LOOSE = Limit(rate=1000, burst=1000)


def taken(table: Table, count: int, *, at: float, key: str = "a") -> int:
    """How many of so many requests at one instant were let through."""
    return sum(table.at(at).take(((key, TEN),)) == 0 for _ in range(count))


def test_a_burst_is_let_through_then_as_many_as_the_rate_allows():
    table = Table()

    assert taken(table, 20, at=100.0) == 5
    assert taken(table, 20, at=100.1) == 1
    assert taken(table, 20, at=100.3) == 2
    assert taken(table, 20, at=200.0) == 5


def test_whoever_is_refused_is_told_when_and_has_spent_nothing():
    table = Table()
    taken(table, 5, at=100.0)

    waits = [table.at(100.04).take((("a", TEN),)) for _ in range(50)]

    assert waits == [pytest.approx(0.06)] * 50
    assert taken(table, 1, at=100.1) == 1


def test_over_ten_times_the_limit_exactly_the_limit_is_let_through():
    table = Table()

    passed = sum(taken(table, 1, at=100 + number / 100) for number in range(1000))  # 100 a second for 10 s

    assert passed == 5 + 99  # the burst, and 10 a second


def test_given_two_limits_when_one_is_reached_then_nothing_is_taken_from_the_other():
    table = Table()
    for _ in range(20):
        table.at(100.0).take((("busy", TEN), ("sender", LOOSE)))

    assert table.told()["sender"].seconds == pytest.approx(5 / LOOSE.rate)
    assert table.at(100.0).take((("calm", TEN), ("sender", LOOSE))) == 0


def test_a_limit_that_is_only_looked_at_refuses_and_is_not_charged():
    table = Table()
    for _ in range(8):
        table.at(100.0).spend("vain", TEN)

    assert table.at(100.0).take((("a", LOOSE),), looks=(("vain", TEN),)) > 0
    assert table.at(101.0).take((("a", LOOSE),), looks=(("vain", TEN),)) == 0
    assert table.told()["vain"].seconds == pytest.approx(0.8)


def test_what_others_spent_counts_here_and_what_is_learned_never_fills_a_bucket():
    table = Table()
    table.at(100.0).take((("a", TEN),))
    table.told()

    table.at(100.0).learn({"a": 0.5})  # full again in half a second, so empty now
    assert taken(table, 3, at=100.0) == 0
    table.at(100.0).learn({"a": 0.0})
    assert taken(table, 3, at=100.0) == 0
    assert taken(table, 3, at=100.2) == 2


def test_what_was_spent_while_the_others_were_asked_counts_besides_their_answer():
    table = Table()
    taken(table, 2, at=100.0)
    table.told()
    taken(table, 2, at=100.0)

    table.at(100.0).learn({"a": 0.2})

    assert taken(table, 5, at=100.0) == 1


def test_given_a_million_strangers_then_memory_stays_bounded_and_who_is_at_the_limit_is_remembered():
    table = Table(most=1000)
    now = 100.0
    for number in range(100_000):
        now += 0.0001
        table.at(now).take(((f"stranger-{number}", TEN),))
        if number % 100 == 0:
            taken(table, 5, at=now, key="flood")

    assert len(table) <= 1000
    assert len(table._spent) <= 1000 + 1
    assert table.at(now).take((("flood", TEN),)) > 0


def test_full_buckets_are_forgotten_when_others_come():
    table = Table()
    for number in range(500):
        table.at(100.0).take(((f"early-{number}", TEN),))
    for number in range(600):
        table.at(200.0).take(((f"late-{number}", TEN),))

    assert len(table) <= 601


def test_one_exchange_tells_of_the_busiest_only(monkeypatch):
    monkeypatch.setattr(buckets, "MOST_SPENT", 10)
    table = Table()
    for number in range(50):
        for _ in range(1 + number):
            table.at(100.0).spend(f"k{number}", LOOSE)

    assert set(table.told()) == {f"k{number}" for number in range(40, 50)}
    assert table.told() == {}


def test_a_bucket_that_is_overdrawn_is_never_further_away_than_its_limit_and_a_second():
    table = Table()
    for _ in range(10_000):
        table.at(100.0).spend("vain", TEN)

    assert table.at(100.0).take((("vain", TEN),)) <= 1 + TEN.interval
