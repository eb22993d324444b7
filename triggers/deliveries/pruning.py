"""The sweep keeps the inbox bounded: so many deliveries of a workflow, and none too old.

In small pieces, each a statement of its own, and for a fifth of a second at most every five: what is left comes next
time. Idempotency keys are not touched: they lie with the events.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings

from lightfield.kernel import sql
from triggers.deliveries import statements

EVERY_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 0.2
BATCH: Final = 1_000
WORKFLOWS: Final = 50  # looked at in one statement
_NIL: Final = UUID(int=0)

_next_at = 0.0  # monotonic, of this process
_after = _NIL  # the workflow that was looked at last


def prune_now_and_then() -> int:
    """For the sweep, which comes every second. Returns how many were deleted."""
    global _next_at
    now = time.monotonic()
    if now < _next_at:
        return 0
    _next_at = now + EVERY_SECONDS
    return prune(seconds=LONGEST_SECONDS)


def prune(*, seconds: float) -> int:
    """Delete what is too old, then what is too much, for about so long. Returns how many."""
    global _after
    end = time.monotonic() + seconds
    gone = _delete(statements.TOO_OLD, {"before": _oldest_kept()}, end)
    while time.monotonic() < end:
        found = sql.rows(statements.NEXT, {"after": _after, "workflows": WORKFLOWS})
        for (workflow_id,) in found:
            most = {"workflow_id": workflow_id, "most": settings.LIGHTFIELD_INBOX_MOST}
            gone += _delete(statements.BEYOND, most, end)
            if time.monotonic() > end:
                return gone  # the rest of this one comes first next time
            _after = workflow_id
        if len(found) < WORKFLOWS:
            _after = _NIL
            break
    return gone


def _delete(statement: str, params: dict[str, object], end: float) -> int:
    gone = 0
    while True:
        deleted = len(sql.rows(statement, {**params, "batch": BATCH}))
        gone += deleted
        if deleted < BATCH or time.monotonic() > end:
            return gone


def _oldest_kept() -> UUID:
    """Ids are UUIDv7: a bound on time is a bound on them."""
    instant = datetime.now(UTC) - timedelta(days=settings.LIGHTFIELD_INBOX_DAYS)
    return UUID(int=int(instant.timestamp() * 1000) << 80)
