"""The simulator sees: each fault planted into one guard breaks something that is checked, within a few hundred seeds."""

from __future__ import annotations

import pytest

from tests.simulation.adversary import Failure, play
from tests.simulation.checks import InvariantBroken
from tests.simulation.rows import GuardBroken

MOST_SEEDS = 400
MOVES = 600

FAULTS = {
    "no fence guard": "an older claim's outcome is written over a newer one's",
    "no status guard": "an outcome is written on a step that was cancelled or waits",
    "fence not raised": "two claims hold the same fence",
    "claims a live lease": "a step is taken from a worker that works on it",
    "claims ready steps": "a forged message overruns the window",
    "no window": "admission does not count what is in flight",
    "dispatches twice": "an event that has its run gets another",
    "outcome without follow-up": "a run whose step completed stands still",
    "cancel decides a live effect": "a request leaves after its effect was decided",
    "cancel leaves the step": "a cancelled run keeps a live step",
    "intent not committed": "a request leaves that is not in the ledger",
    "sender ignores its lease": "a worker that was paused sends although others hold its step",
    "sweep without ready steps": "a lost bell of admission is never rung again",
    "sweep without expired leases": "a step whose worker died runs for ever",
    "sweep without undecided effects": "an effect whose worker died after a cancel is never decided",
}


# The moves that lead to it, where chance alone would need thousands of seeds.
LIKES: dict[str, dict[str, float]] = {
    "no fence guard": {"pause": 4.0, "time": 12.0, "sweep": 12.0},
    "no status guard": {"double": 20.0, "forge": 15.0, "time": 10.0},
    "claims a live lease": {"forge": 40.0},
    "cancel decides a live effect": {"cancel": 10.0},
    "sender ignores its lease": {"pause": 12.0, "time": 15.0},
}

# Seeds that show it, so that the search need not begin at 1; when the adversary changes, it goes on from there.
SHOWN_BY = {
    "no fence guard": 237,
    "no status guard": 33,
    "claims a live lease": 52,
    "cancel decides a live effect": 62,
    "sender ignores its lease": 821,
    "sweep without ready steps": 19,
}

# What a fault may be noticed by: a check, a guard of the database, or an assertion of the product.
NOTICED = (InvariantBroken, GuardBroken, AssertionError)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    first = SHOWN_BY.get(fault, 1)
    found = next((seed for seed in range(first, first + MOST_SEEDS) if _is_noticed(seed, fault)), None)

    assert found is not None, f"{FAULTS[fault]}, and {MOST_SEEDS} seeds did not notice"


def _is_noticed(seed: int, fault: str) -> bool:
    try:
        play(seed, planted=frozenset({fault}), likes=LIKES.get(fault), moves=MOVES)
    except Failure as failure:
        if not isinstance(failure.__cause__, NOTICED):
            raise
        return True
    return False


SURVIVORS = {
    "retry keeps its slot": "only the backoff is lost by it, and no invariant speaks of that",
    "claims beyond the limit": "nothing is queued beyond it: `executions.outcomes.decide` has failed the step before",
}


@pytest.mark.parametrize("fault", SURVIVORS)
def test_these_faults_survive(fault: str) -> None:
    """On purpose: two guards of the product are watched by tests of their own statements, not by any invariant."""
    played = [play(seed, planted=frozenset({fault})) for seed in range(1, 31)]

    assert all(world.tables.runs or world.tables.events for world in played), SURVIVORS[fault]
