"""What became of an event, for those who wait for it (`triggers.waiting`)."""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import UUID

from executions.states import FINAL_RUN
from lightfield.kernel import sql
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.stored_json import StoredJSON
from triggers import waiting
from triggers.models import EventStatus
from triggers.waiting import Ended

# The event by its id, the run by its event, the newest generation: two rows by unique indexes.
LOOK: Final = """
SELECT e.status, e.error_code, r.id, r.status, r.error::text
FROM triggers_outboxevent e
LEFT JOIN LATERAL (
  SELECT id, status, error FROM executions_run WHERE event_id = e.id ORDER BY generation DESC LIMIT 1) r ON true
WHERE e.id = %(event_id)s::uuid
"""

# Asked once, when the run has ended. By position, of which each run has every one once.
OUTPUT: Final = """
SELECT output::text FROM executions_steprun
WHERE run_id = %(run_id)s::uuid AND status || '' = 'completed' ORDER BY position DESC LIMIT 1
"""

GONE: Final = frozenset({EventStatus.IGNORED, EventStatus.POISON})


@waiting.told_by
def ended(event_id: UUID) -> Ended | None:
    """What became of the event; None while its run goes on, or it has none yet."""
    found = sql.row(LOOK, {"event_id": event_id})
    if found is None:
        return None
    event_status, event_code, run_id, run_status, error = found
    if run_id is None:
        return _without_a_run(event_status, event_code)
    if run_status not in FINAL_RUN:
        return None
    completed = sql.row(OUTPUT, {"run_id": run_id})
    return Ended(run_status, run_id, _parsed(completed[0] if completed else None), _parsed(error))


def _without_a_run(status: str, code: str | None) -> Ended | None:
    if status not in GONE:
        return None
    entry = CATALOGUE.get(code or "")
    error = {"code": code, "message": entry.meaning} if entry else None
    return Ended(status, None, None, error)


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text, cls=StoredJSON)
