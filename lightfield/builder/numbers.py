"""How workflows fare: runs of the last 24 hours and the newest run, one query for a whole page of workflows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.utils import timezone

from lightfield.kernel import sql

COUNTED: Final = 10_000  # runs per workflow; a busy one shows "10,000+"
DAY: Final = timedelta(hours=24)

# Ids are UUIDv7: the bound on them ends the scan of (workflow, id) a day back. `runs` is read newest first.
NUMBERS: Final = """
SELECT w.id, recent.total, recent.failed, newest.id, newest.status, newest.created_at
FROM unnest(%(ids)s::uuid[]) AS w(id)
LEFT JOIN LATERAL (
  SELECT count(*)::int AS total, (count(*) FILTER (WHERE status = 'failed'))::int AS failed
  FROM (SELECT status FROM executions_run
        WHERE workflow_id = w.id AND id >= %(since)s::uuid ORDER BY id DESC LIMIT %(most)s::int) counted) recent ON true
LEFT JOIN LATERAL (
  SELECT id, status, created_at FROM executions_run
  WHERE workflow_id = w.id ORDER BY id DESC LIMIT 1) newest ON true
"""


@dataclass(frozen=True)
class Numbers:
    total: int
    failed: int
    newest_id: UUID | None
    newest_status: str | None
    newest_at: datetime | None

    @property
    def words(self) -> str:
        """`12 runs, 3 failed`; empty without any."""
        if not self.total:
            return ""
        count = f"{COUNTED:,}+" if self.total >= COUNTED else f"{self.total:,}"
        runs = f"{count} run{'' if self.total == 1 else 's'}"
        return f"{runs}, {self.failed:,} failed" if self.failed else runs


NONE: Final = Numbers(0, 0, None, None, None)


def numbers_of(workflow_ids: Sequence[UUID]) -> dict[UUID, Numbers]:
    if not workflow_ids:
        return {}
    params = {"ids": list(workflow_ids), "since": oldest_id(timezone.now() - DAY), "most": COUNTED}
    return {found[0]: Numbers(*found[1:]) for found in sql.rows(NUMBERS, params)}


def oldest_id(instant: datetime) -> UUID:
    """The smallest UUIDv7 of that millisecond."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)
