"""A host that needs more than the five seconds between probes for an answer was silent in between: its rate fell to nothing
each time, and each round of answers bought one second's worth. Whoever called it more often than once a second waited
until the steps had waited for a day."""

from __future__ import annotations

import itertools

import pytest

from executions.circuits.pacing import Seen, next_move


def seconds_until_closed(latency: int, *, waiting: int, calls_a_second: int) -> tuple[int | None, list[int]]:
    """How long the return takes, and what was released in each second. The first probe leaves in second 0."""
    state, rate, failed_probes, retry_at = "open", 0.0, 0, 0.0
    answers: dict[int, int] = {}
    released: list[int] = []
    for second in range(1200):
        waiting += calls_a_second
        seen = Seen(
            state,
            rate,
            answers.pop(second, 0),
            0,
            failed_probes,
            since_turn=1.0,
            until_retry=retry_at - second,
            silent_for=1.0,
        )
        move = next_move(seen, probe_seconds=5, ramp=5)
        number = min(move.release, waiting)
        if move.closes_when_empty and number < move.release:
            return second, released
        waiting -= number
        released.append(number)
        if number:
            answers[second + latency] = number
        state, rate, failed_probes = str(move.state), move.rate, move.failed_probes
        if move.retry_in is not None and number + (not move.release):
            retry_at = second + move.retry_in
    return None, released


@pytest.mark.parametrize("latency", [1, 2, 4, 6, 10, 30])
def test_given_a_host_that_is_called_twenty_times_a_second_then_its_circuit_closes(latency):
    seconds, released = seconds_until_closed(latency, waiting=200, calls_a_second=20)

    assert seconds is not None
    assert seconds < 60 + 10 * latency
    # And it is given no more at once than the even rise has led to
    assert max(after - before for before, after in itertools.pairwise(released)) <= 5 * 2
