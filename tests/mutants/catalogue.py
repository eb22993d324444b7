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
    hosts,
    inbox,
    lanes,
    loops,
    outcomes,
    records,
    schedules,
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
    *loops.MUTANTS,
    *claims.MUTANTS,
    *outcomes.MUTANTS,
    *endings.MUTANTS,
    *effects.MUTANTS,
    *lanes.MUTANTS,
    *floods.MUTANTS,
    *hosts.MUTANTS,
    *schedules.MUTANTS,
    *decisions.MUTANTS,
    *stories.MUTANTS,
)
