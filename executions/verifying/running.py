"""Run the invariants over one snapshot of the database, and say what contradicts them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.db import OperationalError, connection, transaction

from executions.verifying import (
    agents,
    attempts,
    captures,
    deliveries,
    effects,
    events,
    notices,
    runs,
    sealed,
    steps,
    stories,
    ticks,
    versions,
)
from executions.verifying.invariant import Invariant, Subject, parameters
from lightfield.kernel import sql

GROUPS: dict[str, tuple[Invariant, ...]] = {
    "Workflows and versions": versions.INVARIANTS,
    "Records": captures.INVARIANTS,
    "Events": events.INVARIANTS,
    "Deliveries": deliveries.INVARIANTS,
    "Schedules": ticks.INVARIANTS,
    "Runs": runs.INVARIANTS,
    "Step runs": steps.INVARIANTS,
    "Attempts": attempts.INVARIANTS,
    "Effects": effects.INVARIANTS,
    "Agents": agents.INVARIANTS,
    "Timelines": stories.INVARIANTS,
    "Secrets": sealed.INVARIANTS,
    "Notices": notices.INVARIANTS,
}
INVARIANTS: tuple[Invariant, ...] = tuple(chain.from_iterable(GROUPS.values()))
SHOWN = 20  # ids named for each broken invariant; the count is of all
TIMEOUT_SECONDS = 600.0

# One snapshot for all queries, so that what moves meanwhile contradicts nothing; sorts in memory where they fit.
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
LIMITS = """
SELECT set_config('statement_timeout', %(milliseconds)s::text, true), set_config('work_mem', '128MB', true),
  set_config('idle_in_transaction_session_timeout', '0', true), set_config('jit', 'off', true)
"""
FOUND = "SELECT id, count(*) OVER () FROM (SELECT DISTINCT id::text FROM ({broken}) AS x(id)) AS broken ORDER BY id LIMIT {shown}"


@dataclass(frozen=True)
class Finding:
    """What one invariant came to: how many contradict it, the first of their ids, and what the answer took."""

    invariant: Invariant
    checked: int
    broken: int
    ids: list[str]
    seconds: float


class NotChecked(Exception):
    """An invariant's query did not end in time: nothing is known about it."""


def verify(
    *, quiesced: bool = False, timeout_seconds: float = TIMEOUT_SECONDS
) -> Generator[Finding, None, None]:
    """Check everything in a read-only transaction of its own; each finding is yielded as it is known.

    Args:
        quiesced: nothing is in flight and nothing is captured meanwhile, so everything must have ended.
        timeout_seconds: for one query.

    Raises:
        NotChecked: a query took longer than that.
        RuntimeError: inside a transaction, whose snapshot may be older than the question.
    """
    if connection.in_atomic_block:
        raise RuntimeError("verify() needs a transaction of its own")
    with transaction.atomic():
        sql.rows(SNAPSHOT, {})
        sql.rows(LIMITS, {"milliseconds": str(int(timeout_seconds * 1000))})
        yield from check(chosen(quiesced=quiesced))


def chosen(*, quiesced: bool) -> list[Invariant]:
    """The invariants that hold at any moment and, when nothing is in flight, those that hold then."""
    return [invariant for invariant in INVARIANTS if quiesced or not invariant.only_quiesced]


def check(invariants: Iterable[Invariant]) -> Iterator[Finding]:
    """Check these in the transaction that is open, whatever it sees."""
    counted: dict[Subject, int] = {}
    for invariant in invariants:
        subject = invariant.subject
        try:
            if subject not in counted:
                counted[subject] = _count(subject)
            started = time.monotonic()
            broken, ids = _broken(invariant)
        except OperationalError as error:
            raise NotChecked(f"{invariant.name} could not be checked: {error}") from error
        yield Finding(invariant, counted[subject], broken, ids, time.monotonic() - started)


def _count(subject: Subject) -> int:
    found = sql.row(f"SELECT count(*) FROM {subject.value}", {})
    return int(found[0]) if found else 0


def _broken(invariant: Invariant) -> tuple[int, list[str]]:
    if not isinstance(invariant.broken, str):
        return _first(invariant.broken())
    found: list[tuple[Any, ...]] = sql.rows(FOUND.format(broken=invariant.broken, shown=SHOWN), parameters())
    return (found[0][1] if found else 0), [row[0] for row in found]


def _first(ids: Iterable[str]) -> tuple[int, list[str]]:
    shown: list[str] = []
    number = 0
    for number, found in enumerate(ids, start=1):
        if number <= SHOWN:
            shown.append(found)
    return number, shown
