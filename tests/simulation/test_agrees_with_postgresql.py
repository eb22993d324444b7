"""The statements in memory do what the product's statements do in PostgreSQL: the same rows after every operation."""

from __future__ import annotations

import os

import pytest

from tests.simulation.checks import InvariantBroken
from tests.simulation.operations import Operations
from tests.simulation.statements import ANSWERS, asked
from tests.simulation.twins import Disagreement, Twins, stopped_clock

FIRST_SEED = int(os.environ.get("SIMULATION_FIRST_SEED", "1"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("SIMULATION_TWINS", "4")))
OPERATIONS = 100
NOT_COMPARED = {
    "due_in_cell"  # a question of `run_in_cell`, which starts processes; the same condition as a claim's in a cell
}

pytestmark = pytest.mark.django_db(transaction=True)


def test_every_operation_leaves_the_same_rows() -> None:
    asked.clear()
    with stopped_clock():
        for seed in SEEDS:
            twins = Twins()
            try:
                Operations(twins, seed).play(OPERATIONS)
            except Disagreement as disagreement:
                pytest.fail(f"seed {seed}:\n{disagreement}", pytrace=False)

    assert {answer.__name__ for answer in ANSWERS.values()} - asked == NOT_COMPARED


@pytest.mark.parametrize("fault", ["no fence guard"])
def test_a_faulty_statement_is_found(fault: str) -> None:
    with stopped_clock(), pytest.raises((Disagreement, InvariantBroken)):
        _play_many(frozenset({fault}))


def _play_many(planted: frozenset[str]) -> None:
    for seed in range(1, 10):
        Operations(Twins(planted), seed).play(OPERATIONS)
