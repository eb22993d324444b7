"""What the sweep does next about a host that failed. Pure: what was counted goes in, a move comes out.

Probes at doubling distances while it fails; once one succeeds, releases at a rate that rises by the same amount every
second for as long as answers are good, stays as it is until the next probe's time while there are none, and nothing at all
after bad ones. A rate that rises evenly has no second in
which more than twice the mean is sent: a host that has come back meets no burst, however many runs wait for it.

Source: additive increase, multiplicative decrease (Chiu and Jain, 1989; RFC 5681), with "back to a probe" as decrease.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from executions.circuits.models import CircuitState

FAILING_SHARE: Final = 0.5  # of the answers to released requests: then it is open again
LONGEST_TURN_SECONDS: Final = 2.0  # a sweep that comes late releases no more than this makes up for
LONGEST_DISTANCE_SECONDS: Final = 60.0  # between probes
FORGET_AFTER_SECONDS: Final = 600.0  # without anything held and anything heard
FORGET_WATCHED_SECONDS: Final = 60.0  # a host that failed a little, and not again


@dataclass(frozen=True)
class Seen:
    """A circuit as the sweep finds it. Times in seconds."""

    state: str
    rate: float
    ok: int
    failed: int
    failed_probes: int
    since_turn: float
    until_retry: float  # not positive once it is over
    silent_for: float


@dataclass(frozen=True)
class Move:
    """What becomes of it. `closes_when_empty`: nobody is left to be released, so requests may go as they come."""

    state: str
    release: int
    rate: float
    failed_probes: int
    retry_in: float | None = None  # None: stays as it is
    closes_when_empty: bool = False


def distance(failed_probes: int, probe_seconds: float) -> float:
    """Seconds until the next probe: 5, 10, 20, 40, 60, 60 … with the default."""
    longest = max(LONGEST_DISTANCE_SECONDS, probe_seconds)
    return min(longest, probe_seconds * 2.0 ** min(failed_probes, 30))


def next_move(seen: Seen, *, probe_seconds: float, ramp: float) -> Move:
    """`ramp`: by how many releases a second the rate rises every second."""
    if seen.state == CircuitState.CLOSED:  # held by a worker that had not heard of its recovery
        is_quiet = seen.silent_for > FORGET_WATCHED_SECONDS
        release = max(1, round(ramp * min(seen.since_turn, LONGEST_TURN_SECONDS)))
        return Move(seen.state, release, 0.0, 0, closes_when_empty=is_quiet)
    if seen.state == CircuitState.OPEN:
        if seen.until_retry > 0:
            return Move(seen.state, 0, 0.0, seen.failed_probes)
        return _probe(seen, probe_seconds)
    if seen.failed and seen.failed >= FAILING_SHARE * (seen.ok + seen.failed):
        failed_probes = seen.failed_probes + 1
        return Move(CircuitState.OPEN, 0, 0.0, failed_probes, distance(failed_probes, probe_seconds))
    if seen.ok:
        seconds = min(seen.since_turn, LONGEST_TURN_SECONDS)
        rate = seen.rate + ramp * seconds
        release = max(1, math.floor(rate * seconds))
        return Move(seen.state, release, rate, seen.failed_probes, probe_seconds, closes_when_empty=True)
    if seen.until_retry <= 0:  # whoever was to tell is gone, or still waits for an answer
        return _probe(seen, probe_seconds)
    # A host that takes seconds to answer is silent between good answers. Were nothing released then, each answer would
    # buy one second's worth, and whoever calls it more often than that would wait for it for ever.
    release = math.floor(seen.rate * min(seen.since_turn, LONGEST_TURN_SECONDS))
    return Move(seen.state, release, seen.rate, seen.failed_probes)


def _probe(seen: Seen, probe_seconds: float) -> Move:
    return Move(
        CircuitState.HALF_OPEN,
        1,
        0.0,
        seen.failed_probes,
        probe_seconds,
        closes_when_empty=seen.silent_for > FORGET_AFTER_SECONDS,
    )
