"""The harness sees memory that grows with the age of a process, also in a short life, and sees when it saw nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.memory import EXPECTED, LEAK, SETTLING, SOAK_MINUTES, Life, Memory, trend_of


def life(seconds: int, *, per_minute: float = 0.0, name: str = "worker-http", settling: float = 0.0) -> Life:
    """Cold until 30 s; then it grows evenly, and by something more until it is a minute old."""
    return Life(
        name,
        0.0,
        [
            (float(age), 50.0 if age < 30 else 140.0 + per_minute * age / 60 + settling * min(1.0, age / 60))
            for age in range(0, seconds + 1, 5)
        ],
    )


def memory(*lives: Life) -> Memory:
    nothing: Any = None
    watched = Memory(nothing)
    watched.lives = {(one.name, number): one for number, one in enumerate(lives)}
    return watched


def problems(*lives: Life) -> list[str]:
    """Those of a soak of two minutes: nobody has to have lived for long."""
    return memory(*lives).problems(2.0)


def test_given_even_memory_then_it_is_flat() -> None:
    assert problems(life(100), life(600)) == []


def test_given_a_leak_of_20_mb_a_minute_in_a_short_life_then_it_is_not_flat() -> None:
    (words,) = problems(life(90, per_minute=20.0))

    assert "+20.00 MB/min" in words
    assert words.endswith("NOT FLAT")


def test_given_a_slow_leak_in_a_long_life_then_it_is_not_flat() -> None:
    assert problems(life(1200, per_minute=LEAK + 1))
    assert problems(life(1200, per_minute=LEAK - 1)) == []


def test_given_a_process_that_still_settles_when_it_is_warm_then_it_is_flat() -> None:
    assert problems(life(90, settling=SETTLING)) == []


def test_given_lives_of_one_kind_then_a_long_one_weighs_more_than_short_ones() -> None:
    trend = trend_of([life(600), *[life(80, per_minute=12.0)] * 3])

    assert trend is not None
    assert trend.slope < 1.0
    assert trend.lives == 4


def test_given_a_second_worker_of_a_lane_then_it_is_of_the_same_kind() -> None:
    (words,) = problems(life(90), life(600, per_minute=20.0, name="worker-http-2"))

    assert words.startswith("memory of worker-http ")


def test_given_what_is_bounded_then_it_may_grow_to_its_bound() -> None:
    assert problems(life(90, per_minute=20.0, name="flower")) == []
    assert problems(life(600, per_minute=20.0, name="flower"))


@pytest.mark.parametrize("missing", EXPECTED)
def test_given_no_long_life_of_a_kind_that_matters_then_a_soak_has_shown_nothing(missing: str) -> None:
    watched = memory(*[life(79 if name == missing else 300, name=name) for name in EXPECTED])

    assert watched.problems(SOAK_MINUTES) == [f"memory of {missing}: none lived 80 s, so nothing is known"]
    assert watched.problems(2.0) == []
