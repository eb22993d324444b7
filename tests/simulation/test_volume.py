"""Many seeds: each plays a world to its end, and `verify` finds nothing in the rows of all of them."""

from __future__ import annotations

import os

import pytest

from executions.verifying.running import verify
from tests.simulation import loading
from tests.simulation.adversary import play

FIRST_SEED = int(os.environ.get("SIMULATION_FIRST_SEED", "1"))
SEEDS = int(os.environ.get("SIMULATION_SEEDS", "300"))
AT_ONCE = 300  # worlds whose rows are in the database together
FIRST_SEEDS = range(FIRST_SEED, FIRST_SEED + SEEDS, AT_ONCE)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first_seed", FIRST_SEEDS)
def test_whatever_happens_everything_ends_and_verify_finds_nothing(first_seed: int) -> None:
    loading.load_flows()
    last_seed = min(first_seed + AT_ONCE, FIRST_SEED + SEEDS)

    worlds = [play(seed).tables for seed in range(first_seed, last_seed)]
    loading.load(worlds)

    broken = {
        f"{finding.invariant.name}: {finding.invariant.says}": finding.ids
        for finding in verify(quiesced=True)
        if finding.broken
    }
    assert broken == {}, (
        "an id begins with the seed of its world: <seed>-… of runs, <seed>000000 + n of steps"
    )
    assert sum(len(world.runs) for world in worlds) >= len(worlds)
