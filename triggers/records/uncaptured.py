"""What the detector noted of writes that passed Django by: kept small, told by kind, and forgotten by a person.

The detector itself is in the database (`database`), with LIGHTFIELD_CAPTURE=orm only. `bin/manage verify` fails as long
as there is a note: nobody but a person knows whether the workflows that did not run were needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction

from lightfield.access import audit
from lightfield.kernel import sql

MOST_NOTES: Final = 1000  # above that the sweep makes one of each kind of them
LOCK: Final = 7_304_118  # of folding and forgetting, which would count past each other

HAS_MANY: Final = "SELECT id FROM triggers_uncapturedwrite ORDER BY id OFFSET %(most)s::int LIMIT 1"
TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock(%(lock)s::bigint)"
WAIT_FOR_LOCK: Final = "SELECT pg_advisory_xact_lock(%(lock)s::bigint)"
# What a writer adds meanwhile is not seen and stays.
FOLD: Final = """
WITH gone AS (DELETE FROM triggers_uncapturedwrite RETURNING entity, operation, rows, statements, at, last_at)
INSERT INTO triggers_uncapturedwrite (entity, operation, rows, statements, at, last_at)
SELECT entity, operation, sum(rows), sum(statements), min(at), max(last_at) FROM gone GROUP BY entity, operation
"""
_TOLD: Final = """
SELECT entity, operation, sum(rows)::bigint, sum(statements)::bigint, min(at), max(last_at)
FROM {notes} GROUP BY entity, operation ORDER BY entity, operation
"""
TELL: Final = _TOLD.format(notes="triggers_uncapturedwrite")
FORGET: Final = "WITH gone AS (DELETE FROM triggers_uncapturedwrite RETURNING *)" + _TOLD.format(notes="gone")


@dataclass(frozen=True)
class Uncaptured:
    """All that is known of one kind of write to one kind of record."""

    entity: str
    operation: str  # INSERT or UPDATE
    rows: int
    statements: int
    first_at: datetime
    last_at: datetime

    def __str__(self) -> str:
        first, last = (at.isoformat(" ", "seconds") for at in (self.first_at, self.last_at))
        how_much = (
            f"{_number(self.rows, 'row')} by {self.operation} in {_number(self.statements, 'statement')}"
        )
        return f"{self.entity}: {how_much}, from {first} to {last}"


def told() -> list[Uncaptured]:
    """What was noted and not forgotten, by entity."""
    return [Uncaptured(*found) for found in sql.rows(TELL, {})]


def fold() -> bool:
    """Bring many notes down to one of each kind. Whether there were so many. For the sweep: one cheap look else."""
    if sql.row(HAS_MANY, {"most": MOST_NOTES}) is None:
        return False
    with transaction.atomic():
        if not sql.rows(TRY_LOCK, {"lock": LOCK})[0][0]:
            return False  # somebody is at it
        sql.rows(FOLD, {})
    return True


def forget(*, by: str) -> list[Uncaptured]:
    """Forget what was noted up to now, and write into the audit trail what that was. Returns it."""
    with transaction.atomic():
        sql.rows(WAIT_FOR_LOCK, {"lock": LOCK})
        found = [Uncaptured(*one) for one in sql.rows(FORGET, {})]
        for one in found:
            audit.record(
                actor=by,
                action="records.uncaptured_forgotten",
                subject=one.entity,
                operation=one.operation,
                rows=one.rows,
                statements=one.statements,
                first_at=one.first_at.isoformat(),
                last_at=one.last_at.isoformat(),
            )
    return found


def _number(count: int, of: str) -> str:
    return f"{count:,} {of}{'' if count == 1 else 's'}"
