"""The harness sees a fault that did not happen, a promise that was not put to the test, and what was late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos import ordeal as ordeals
from tests.chaos import report
from tests.chaos.books import Answer, Books, Delivery
from tests.chaos.faults_of_processes import RECLAIM_SLACK, reclaims_broken
from tests.chaos.matrix import PROMISED, REDIS_ALONE, Promise, broken_promises
from tests.chaos.ordeal import Ordeal, Trial
from tests.chaos.stack import RECLAIM_BOUND

OK = Answer(at=0.0, seconds=0.05, status=202)


def a_minute(firsts: int = 1200, **more: Any) -> Ordeal:
    """As `redis-down` should be: 20 webhooks a second for 60 s, all accepted."""
    told: dict[str, Any] = {"deeds": 1, "wanted": 1, "least": 1, "seconds": 60.0, "own_seconds": 60.0, **more}
    return Ordeal("redis-down", firsts=[OK] * firsts, **told)


def broken(ordeal: Ordeal, promise: Promise = REDIS_ALONE) -> list[str]:
    return broken_promises(ordeal, promise, usual=8.0)


def test_given_all_that_was_promised_then_nothing_is_broken() -> None:
    assert broken(a_minute()) == []


def test_given_no_webhook_during_a_fault_then_no_promise_was_kept() -> None:
    assert broken(a_minute(0)) == [
        "0 webhooks were sent, not 1200",
        "0.00% of webhooks accepted at the first try, not 100%",
    ]
    assert broken(a_minute(0), Promise()) == ["0 webhooks were sent, not 480"]


def test_given_fewer_webhooks_than_the_rate_says_then_the_fault_was_none() -> None:
    assert broken(a_minute(1079)) == ["1079 webhooks were sent, not 1200"]
    assert broken(a_minute(1500), PROMISED["flushall"]) == ["1500 webhooks were sent, not 1680"]
    assert broken(a_minute(700, own_seconds=35.0)) == []  # the machine was not ours
    assert broken(a_minute(11, seconds=2.0, own_seconds=2.0)) == []  # a second and a half of two


def test_given_a_webhook_without_any_answer_then_it_was_not_accepted() -> None:
    hanging = a_minute(1199)
    hanging.firsts.append(None)

    assert broken(hanging) == ["99.92% of webhooks accepted at the first try, not 100%"]


def test_given_slow_answers_then_p95_is_ours() -> None:
    slow = a_minute()
    slow.firsts = [replace(OK, seconds=0.15)] * 1200

    assert broken(slow) == ["p95 of the answers 150 ms of ours, not 100 ms"]
    assert broken(replace(slow, own_seconds=30.0)) == []


def test_given_fewer_deeds_than_wanted_then_it_is_a_problem() -> None:
    assert broken(a_minute(deeds=539, wanted=600, least=540)) == ["done 539 of 600 times"]
    assert broken(a_minute(deeds=540, wanted=600, least=540)) == []


def test_a_delivery_belongs_to_the_moment_of_its_first_try_whenever_it_was_answered() -> None:
    books = Books()
    for number, began in enumerate((None, 9.0, 10.0, 19.0, 21.0)):
        delivery = Delivery(number, f"key {number}", "two", began_at=began, answers=[OK])
        books.begin(delivery)

    assert [one.number for one in books.begun(10.0, 20.0)] == [2, 3]


class Hours:
    """A clock that stands still except while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Hours:
    hours = Hours()
    monkeypatch.setattr(ordeals, "time", hours)
    return hours


def a_trial(scale: float = 1.0) -> Trial:
    nothing: Any = None
    return Trial(nothing, Books(), nothing, nothing, lambda: False, name="x", seed=1, scale=scale)


def test_given_deeds_that_take_their_time_then_their_rate_is_kept(clock: Hours) -> None:
    trial = a_trial()

    done = trial.every(0.1, 60, lambda: clock.sleep(0.05))

    assert (done, trial.wanted, trial.least) == (600, 600, 540)
    assert clock.now == pytest.approx(60, abs=0.2)


def test_given_rounds_that_hit_nothing_then_they_do_not_count(clock: Hours) -> None:
    trial = a_trial(scale=0.1)

    assert trial.every(0.1, 60, lambda: False) == 0
    assert trial.wanted == 60
    assert clock.now == pytest.approx(9, abs=0.2)  # it tried for half as long again


def test_given_a_deed_that_misses_then_it_is_done_again(clock: Hours) -> None:
    trial = a_trial()
    hits = iter([False, True, False, False, True, True])

    assert trial.times(3, lambda: next(hits)) == 3
    assert (trial.wanted, trial.least) == (3, 3)
    assert trial.books.deeds["faults that missed"] == 3


def test_given_re_claims_within_their_bound_then_all_is_well() -> None:
    assert reclaims_broken([RECLAIM_BOUND] * 20, [20]) == []


@pytest.mark.parametrize(
    ("own", "held", "words"),
    [
        ([], [], "no step was re-claimed"),
        ([7.0] * 20, [20, 0], "1 of 2 deaths cost nobody a step"),
        ([7.0] * 18 + [RECLAIM_BOUND + RECLAIM_SLACK + 0.1] * 2, [20], "p95 of re-claims 9.1 s of ours"),
    ],
    ids=["none", "a death of nobody", "over the bound"],
)
def test_given_re_claims_that_were_none_or_late_then_it_is_a_problem(
    own: list[float], held: list[int], words: str
) -> None:
    assert any(problem.startswith(words) for problem in reclaims_broken(own, held))


def test_given_a_backlog_that_was_gone_in_time_only_by_our_clock_then_the_report_says_late() -> None:
    late = a_minute(drained_seconds=45.0, drained_own=15.0)
    in_time = a_minute(drained_seconds=20.0, drained_own=15.0)

    (_, told) = report.ordeals([late])
    assert told.endswith("ok; late by the real clock (×3.0)")
    assert "45.0 s" in told
    assert "15.0 s" in told
    assert not in_time.is_late
