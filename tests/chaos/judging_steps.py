"""Record steps under fire: each wrote exactly once if it completed, and nothing if it did not, whoever died in it.

A step's write is told from outside by what it left: a note whose title names the run and its step, and for every write its
entry in the audit trail, which shares the write's transaction.
"""

from __future__ import annotations

import collections
from typing import Any

Row = tuple[Any, ...]
WATCHER = "Chaos: noted"
MAKES_A_NOTE = "noted"  # the key of the step that does

STEPS = """
WITH done AS (
  SELECT step_run_id, count(*) FILTER (WHERE status = 'done') AS n, count(*) AS all_of_them FROM executions_effect
  GROUP BY 1),
deeds AS (
  SELECT actor, metadata ->> 'step' AS step, count(*) AS n FROM access_auditentry WHERE actor LIKE 'run %' GROUP BY 1, 2),
notes AS (SELECT title, count(*) AS n, min(content) AS content FROM crm_note GROUP BY 1)
SELECT s.run_id::text, s.key, s.status, s.reused, coalesce(done.n, 0), coalesce(done.all_of_them, 0),
  coalesce(deeds.n, 0), coalesce(notes.n, 0)
FROM executions_steprun s LEFT JOIN done ON done.step_run_id = s.id
LEFT JOIN deeds ON deeds.actor = 'run ' || s.run_id AND deeds.step = s.key
LEFT JOIN notes ON notes.title = s.run_id || ':' || s.key
WHERE s.type IN ('create_record', 'update_record', 'upsert_record')
"""
NOTES = """
SELECT n.title, (SELECT count(*) FROM executions_steprun s WHERE s.run_id || ':' || s.key = n.title),
  count(e.id), coalesce(sum((SELECT count(*) FROM executions_run r WHERE r.event_id = e.id AND r.generation = 1)), 0)
FROM crm_note n LEFT JOIN (
  SELECT e.id, e.payload ->> 'id' AS note FROM triggers_outboxevent e JOIN workflows_workflow w ON w.id = e.workflow_id
  WHERE w.name = 'Chaos: noted' AND e.source = 'record') e ON e.note = n.id::text
GROUP BY n.id, n.title
"""
COMPANIES = "SELECT upper(name), count(*) FROM crm_account GROUP BY 1"


def contradictions(steps: list[Row], notes: list[Row], companies: list[Row]) -> dict[str, list[str]]:
    """By rule: what contradicts "exactly once", from the rows of `STEPS`, `NOTES` and `COMPANIES`."""
    broken: dict[str, list[str]] = collections.defaultdict(list)
    for run_id, key, status, is_reused, done, effects, deeds, made in steps:
        what = f"{run_id} {key}: {status}, {done} done of {effects} effects, {deeds} deeds, {made} notes"
        wanted = int(status == "completed" and not is_reused)
        if (done, effects) != (wanted, wanted):
            broken["a record step and its effect do not agree"].append(what)
        if deeds != wanted:
            broken["a record step that did not write exactly once"].append(what)
        if key == MAKES_A_NOTE and made != wanted:
            broken["a record step that did not create exactly one record"].append(what)
    for title, makers, events, runs in notes:
        if makers != 1:
            broken["a record that no step made"].append(title)
        if (events, runs) != (1, 1):
            broken["a record without exactly one event and one run"].append(f"{title}: {events}, {runs}")
    for name, number in companies:
        if number != 1:
            broken["an upsert that created a second record"].append(f"{number} × {name}")
    return broken
