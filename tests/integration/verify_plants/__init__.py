"""Rows that contradict the invariants, by what the invariant is of."""

from __future__ import annotations

from tests.integration.verify_plants import agents, attempts, events, notices, publications, runs, stories

PLANTS = [
    *publications.PLANTS,
    *events.PLANTS,
    *runs.PLANTS,
    *attempts.PLANTS,
    *stories.PLANTS,
    *agents.PLANTS,
    *notices.PLANTS,
]
