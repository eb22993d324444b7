"""Questions about a slow lane that several statements ask. Each reads `%(lane)s`."""

from __future__ import annotations

# A common table expression of a WITH RECURSIVE.
WAITING_WORKFLOWS = """
wf(workflow_id) AS (  -- skip scan: one index probe per workflow that waits
  (SELECT workflow_id FROM executions_steprun WHERE lane = %(lane)s::text AND status IN ('ready', 'waiting')
     AND held_host IS NULL ORDER BY workflow_id LIMIT 1)
  UNION ALL
  SELECT (SELECT s.workflow_id FROM executions_steprun s WHERE s.lane = %(lane)s::text
            AND s.status IN ('ready', 'waiting') AND s.held_host IS NULL AND s.workflow_id > wf.workflow_id ORDER BY 1 LIMIT 1)
  FROM wf WHERE wf.workflow_id IS NOT NULL)
"""

# How many steps the workflow of the row `wf` has in flight: one index probe.
IN_FLIGHT_OF_WF = """
    SELECT count(*)::int AS n FROM executions_steprun q
    WHERE q.lane = %(lane)s::text AND q.workflow_id = wf.workflow_id AND q.status IN ('queued', 'running')"""

# How many steps a workflow (`wf`) may have in flight in this lane by the limit of its active version (`v`): what other
# slow lanes leave of it. NULL without a limit, and then nothing is counted.
OWN_LIMIT = """CASE WHEN v.concurrency IS NOT NULL THEN v.concurrency - (
      SELECT count(*)::int FROM executions_lane o JOIN executions_steprun q ON q.lane = o.name
      WHERE o.name <> %(lane)s::text AND q.workflow_id = wf.workflow_id AND q.status IN ('queued', 'running')) END"""

# Does the lane stand: due steps wait, and nothing is on its way to a worker? Who takes what is on its way admits more.
LANE_STANDS = """EXISTS (
         SELECT 1 FROM executions_steprun WHERE lane = %(lane)s::text AND status IN ('ready', 'waiting') AND held_host IS NULL
           AND due_at <= statement_timestamp())
       AND NOT EXISTS (
         SELECT 1 FROM executions_steprun
         WHERE lane = %(lane)s::text AND status = 'queued' AND rings = 0 AND NOT quarantined)"""
