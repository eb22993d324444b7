"""What the sweep does next about a host that failed."""

from dataclasses import replace

import pytest

from executions.circuits.models import CircuitState
from executions.circuits.pacing import Seen, distance, next_move

SEEN = Seen(
    state="open", rate=0, ok=0, failed=0, failed_probes=0, since_turn=1.0, until_retry=3.0, silent_for=1.0
)
HALF_OPEN = replace(SEEN, state="half_open")


def move(seen, **changes):
    return next_move(replace(seen, **changes), probe_seconds=5, ramp=5)


def test_probes_go_at_doubling_distances_of_a_minute_at_most():
    assert [distance(failed, 5) for failed in range(7)] == [5, 10, 20, 40, 60, 60, 60]
    assert distance(1000, 5) == 60
    assert distance(3, 300) == 300


def test_nothing_leaves_while_it_is_open():
    assert move(SEEN).release == 0
    assert move(SEEN, ok=5, failed=5).release == 0


def test_one_probe_leaves_when_its_time_has_come():
    made = move(SEEN, until_retry=0)
    assert (made.state, made.release, made.retry_in) == (CircuitState.HALF_OPEN, 1, 5)


def test_given_a_silent_probe_then_nothing_leaves_before_the_time_of_another():
    assert move(HALF_OPEN).release == 0
    assert move(HALF_OPEN, until_retry=0).release == 1


@pytest.mark.parametrize(("ok", "failed"), [(0, 1), (1, 1), (5, 9)])
def test_given_bad_answers_then_it_is_open_again_and_for_longer(ok, failed):
    made = move(HALF_OPEN, rate=50, ok=ok, failed=failed, failed_probes=2)
    assert (made.state, made.release, made.rate, made.failed_probes, made.retry_in) == ("open", 0, 0, 3, 40)


def test_given_mostly_good_answers_then_it_goes_on():
    assert move(HALF_OPEN, rate=50, ok=9, failed=5).release == 55


def test_the_rate_rises_evenly_and_no_second_has_more_than_twice_the_mean():
    released: list[int] = []
    rate = 0.0
    while sum(released) < 1000:
        made = move(HALF_OPEN, rate=rate, ok=1)
        released.append(min(made.release, 1000 - sum(released)))
        rate = made.rate
    assert released[:4] == [5, 10, 15, 20]
    assert max(released) <= 2 * 1000 / len(released)


def test_given_sweeps_more_often_than_the_rate_then_one_is_released_each_time():
    assert move(HALF_OPEN, ok=1, since_turn=0.1).release == 1


def test_given_a_sweep_that_comes_late_then_nothing_is_made_up_for():
    assert move(HALF_OPEN, rate=10, ok=1, since_turn=600).release == 40


@pytest.mark.parametrize(
    ("changes", "closes"),
    [
        ({"ok": 1}, True),
        ({"until_retry": 0}, False),
        ({"until_retry": 0, "silent_for": 601}, True),
        ({"failed": 1}, False),
    ],
)
def test_it_closes_when_answers_are_good_or_nobody_has_spoken_of_it_for_long(changes, closes):
    assert move(HALF_OPEN, **changes).closes_when_empty is closes


def test_what_is_held_for_a_closed_one_is_released_at_an_even_rate():
    assert move(SEEN, state="closed").release == 5
    assert move(SEEN, state="closed", silent_for=61).closes_when_empty
