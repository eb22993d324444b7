"""When a step is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.definitions import RetrySpec
from workflows.retry_policy import RetryPolicy


@pytest.mark.parametrize(
    ("attempt", "least", "most"),
    [
        (1, 0.5, 1),
        (2, 1, 2),
        (3, 2, 4),
        (4, 4, 8),
        (8, 64, 128),
        (9, 128, 256),
        (10, 150, 300),
        (11, 150, 300),
        (5000, 150, 300),
    ],
)
def test_the_default_delays(attempt, least, most):
    policy = RetryPolicy()
    assert policy.delay_after(attempt, random=lambda: 0.0) == least
    assert policy.delay_after(attempt, random=lambda: 1.0) == most


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [(None, 0.5), (0, 0.5), (0.2, 0.5), (7, 7), (3600, 3600), (1e9, 3600), (-5, 0.5)],
)
def test_retry_after_is_a_floor_of_at_most_an_hour(retry_after, delay):
    assert RetryPolicy().delay_after(1, random=lambda: 0.0, retry_after=retry_after) == delay


@given(
    attempt=st.integers(1, 10_000),
    base=st.floats(0, 3600),
    cap=st.floats(0, 86_400),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_every_delay_lies_in_the_upper_half_of_the_doubled_and_capped_base(attempt, base, cap, chance):
    delay = RetryPolicy(base_seconds=base, cap_seconds=cap).delay_after(attempt, random=lambda: chance)
    longest = min(cap, base * 2.0 ** min(attempt - 1, 1000))
    assert longest / 2 <= delay <= longest


@given(attempt=st.integers(1, 100), base=st.floats(0.001, 3600), cap=st.floats(0.001, 86_400))
def test_delays_never_shrink_from_one_attempt_to_the_next(attempt, base, cap):
    policy = RetryPolicy(base_seconds=base, cap_seconds=cap)
    earlier, later = (policy.delay_after(n, random=lambda: 0.5) for n in (attempt, attempt + 1))
    assert earlier <= later


@pytest.mark.parametrize(("counted", "allowed"), [(0, True), (4, True), (5, False), (6, False)])
def test_attempts_end_at_the_maximum_with_the_first_counted(counted, allowed):
    assert RetryPolicy().allows_attempt_after(counted) is allowed


def test_a_policy_comes_from_a_step_definition():
    spec = RetrySpec(max_attempts=2, base_seconds=0.5, cap_seconds=4, retry_on_status=[500])
    assert RetryPolicy.from_spec(spec) == RetryPolicy(2, 0.5, 4, (500,))
    assert RetryPolicy.from_spec(RetrySpec()) == RetryPolicy()
