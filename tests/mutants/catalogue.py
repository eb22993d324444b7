"""Every mutant, in the order of docs/guarantees.md."""

from __future__ import annotations

from tests.mutants import (
    authors,
    captures,
    claims,
    decisions,
    dispatches,
    effects,
    endings,
    failing,
    floods,
    inbox,
    lanes,
    loops,
    outcomes,
    record_steps,
    records,
    schedules,
    secrets,
    senders,
    signatures,
    stories,
)

MUTANTS = (
    *captures.MUTANTS,
    *signatures.MUTANTS,
    *dispatches.MUTANTS,
    *senders.MUTANTS,
    *inbox.MUTANTS,
    *records.MUTANTS,
    *record_steps.MUTANTS,
    *loops.MUTANTS,
    *claims.MUTANTS,
    *outcomes.MUTANTS,
    *endings.MUTANTS,
    *failing.MUTANTS,
    *effects.MUTANTS,
    *lanes.MUTANTS,
    *floods.MUTANTS,
    *secrets.MUTANTS,
    *schedules.MUTANTS,
    *decisions.MUTANTS,
    *stories.MUTANTS,
    *authors.MUTANTS,
)
