"""Every mutant, in the order of docs/guarantees.md."""

from __future__ import annotations

from tests.mutants import effects, endings, events, lanes, steps, stories

MUTANTS = (
    *events.MUTANTS,
    *steps.MUTANTS,
    *endings.MUTANTS,
    *effects.MUTANTS,
    *lanes.MUTANTS,
    *stories.MUTANTS,
)
