"""The story of a run: which entries there are, and the one SQL fragment that writes them.

Entries are written in the transaction of the change they tell. `seq` runs 1..n per run and comes from the run
row's counter, raised under its lock; `at` is taken once per transition from the same row, so time never runs
backwards along `seq`.
"""

from __future__ import annotations

from typing import Any

RUN_TYPES = ("run.created", "run.started", "run.completed", "run.failed", "run.cancelled")
STEP_TYPES = (
    "step.started",
    "step.retrying",
    "step.lost",
    "step.completed",
    "step.failed",
    "step.skipped",
    "step.cancelled",
    "step.waiting",
    "step.logged",
)

# Reads the CTEs `r` (id, seq after the change, total entries, at) and `st` (the step as changed, with due_at).
# An entry that announces a wait gets its instant from the row that will be woken by it.
_APPEND = """
INSERT INTO executions_timelineentry
  (run_id, seq, type, step_key, attempt, at, from_status, to_status, fence, metadata)
SELECT r.id, r.seq - r.total + x.place, x.entry->>'type', x.entry->>'step', (x.entry->>'attempt')::int, r.at,
       x.entry->>'from', x.entry->>'to', CASE WHEN x.entry->>'attempt' IS NOT NULL THEN st.fence END,
       coalesce(x.entry->'metadata', '{}')"""
APPEND = (
    _APPEND
    + """ ||
         CASE WHEN x.entry->>'type' IN ('step.waiting', 'step.retrying')
              THEN jsonb_build_object('due_at', to_char(st.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
              ELSE '{}' END
FROM r, st, jsonb_array_elements(%(entries)s::jsonb) WITH ORDINALITY AS x(entry, place)
"""
)
# The same for several runs at once, each with its entries in `r`; `st` says whose step it is. Nobody waits.
APPEND_EACH = (
    _APPEND
    + """
FROM r JOIN st ON st.run_id = r.id, jsonb_array_elements(r.entries) WITH ORDINALITY AS x(entry, place)
"""
)


def entry(
    type: str,  # the contract's own word
    *,
    step: str | None = None,
    attempt: int | None = None,
    before: str | None = None,
    after: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One entry for `APPEND`: what happened, to which step, in which attempt, from which status to which."""
    if type not in RUN_TYPES and type not in STEP_TYPES:
        raise ValueError(f"{type} is no timeline entry type")
    return {
        "type": type,
        "step": step,
        "attempt": attempt,
        "from": before,
        "to": after,
        "metadata": {name: value for name, value in (metadata or {}).items() if value is not None},
    }
