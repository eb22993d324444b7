"""The simulator sees: each fault planted into one guard breaks something that is checked, within a few hundred seeds."""

from __future__ import annotations

import pytest

from tests.simulation.adversary import Failure, play

MOST_SEEDS = 400

FAULTS = {
    "no fence guard": "an older claim's outcome is written over a newer one's",
    "no status guard": "an outcome is written on a step that was cancelled or waits",
    "fence not raised": "two claims hold the same fence",
    "claims a live lease": "a step is taken from a worker that works on it",
    "claims ready steps": "a forged message overruns the window",
    "claims beyond the limit": "a step is tried more often than its plan allows",
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


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    for seed in range(1, MOST_SEEDS + 1):
        try:
            play(seed, planted=frozenset({fault}))
        except Failure as failure:
            assert f"seed {seed}" in str(failure)
            return
    pytest.fail(f"{fault}: {FAULTS[fault]}, and {MOST_SEEDS} seeds did not notice")


def test_a_retry_that_keeps_its_slot_survives() -> None:
    """On purpose: only the backoff is lost by it, and no invariant speaks of that. A test of the statement does."""
    for seed in range(1, 31):
        play(seed, planted=frozenset({"retry keeps its slot"}))
