"""Every mutant, in the order of docs/guarantees.md."""

from __future__ import annotations

from tests.mutants import (
    captures,
    claims,
    decisions,
    dispatches,
    effects,
    endings,
    floods,
    inbox,
    lanes,
    loops,
    outcomes,
    records,
    schedules,
    stories,
)

MUTANTS = (
    *captures.MUTANTS,
    *dispatches.MUTANTS,
    *inbox.MUTANTS,
    *records.MUTANTS,
    *loops.MUTANTS,
    *claims.MUTANTS,
    *outcomes.MUTANTS,
    *endings.MUTANTS,
    *effects.MUTANTS,
    *lanes.MUTANTS,
    *floods.MUTANTS,
    *schedules.MUTANTS,
    *decisions.MUTANTS,
    *stories.MUTANTS,
)
