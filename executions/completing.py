"""Plain successes of slow steps, several in one statement: what nearly every settlement is.

It writes what `settling.SETTLE` would write for each, all of them or none: a guard that does not match for one
of them undoes the statement, and each is then settled alone. Runs are locked first, in the order of their ids,
so that two such statements, or one and a claim, never wait for each other in a circle.

Why several: most of what a settlement costs is the statement and its COMMIT, whatever it holds (ADR 0011).
"""

from __future__ import annotations

from typing import Any

from executions import timeline
from executions.lanes import IN_FLIGHT_OF_WF, LANE_STANDS, OWN_LIMIT, WAITING_WORKFLOWS
from executions.settlements import STEP_COLUMNS, Settled, Settlement
from executions.states import StepStatus
from lightfield.kernel import sql, strict_json

COMPLETE = f"""
WITH RECURSIVE w AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(%(completions)s::jsonb) AS w(id bigint, run_id uuid, workflow_id uuid, fence int,
    run_status text, entries jsonb, output jsonb, answer jsonb, next_key text, next_type text, next_lane text,
    next_max_attempts int, may_continue bool, owner text, intent jsonb)
  LIMIT %(number)s::int),  -- the planner takes any jsonb for a hundred rows, and would read all of a small table for them
{WAITING_WORKFLOWS},
rival AS MATERIALIZED (  -- the least that a waiting workflow has in flight, if it may have more
  SELECT min(b.n) AS n
  FROM wf JOIN executions_lane l ON l.name = %(lane)s::text
  LEFT JOIN workflows_workflow f ON f.id = wf.workflow_id
  LEFT JOIN workflows_workflowversion v ON v.id = f.active_version_id
  CROSS JOIN LATERAL ({IN_FLIGHT_OF_WF}) b
  WHERE b.n < least({OWN_LIMIT}, l.per_workflow)
    AND (SELECT s.due_at FROM executions_steprun s WHERE s.lane = %(lane)s::text AND s.status IN ('ready', 'waiting')
           AND s.held_host IS NULL AND s.workflow_id = wf.workflow_id ORDER BY s.due_at, s.id LIMIT 1) <= statement_timestamp()),
lk AS MATERIALIZED (  -- a run keeps its slot unless admission would give it to a workflow with less in flight
  SELECT w.*, w.may_continue AND NOT coalesce((SELECT n FROM rival) < (
    SELECT count(*) FROM executions_steprun s WHERE s.lane = %(lane)s::text AND s.workflow_id = w.workflow_id
      AND s.status IN ('queued', 'running')), false) AS ahead
  FROM w JOIN executions_run x ON x.id = w.run_id
  WHERE x.status NOT IN ('completed', 'failed', 'cancelled') ORDER BY x.id FOR UPDATE OF x),
r AS (
  UPDATE executions_run x SET
    seq = x.seq + jsonb_array_length(lk.entries) + lk.ahead::int, status = lk.run_status,
    last_at = greatest(x.last_at, clock_timestamp()),
    finished_at = CASE WHEN lk.run_status = 'completed' THEN greatest(x.last_at, clock_timestamp()) END
  FROM lk WHERE x.id = lk.run_id AND x.status NOT IN ('completed', 'failed', 'cancelled')
  RETURNING x.id, x.seq, x.last_at AS at, jsonb_array_length(lk.entries) + lk.ahead::int AS total, lk.id AS step_run_id,
    lk.workflow_id, lk.fence, lk.entries, lk.output, lk.answer, lk.next_key, lk.next_type, lk.next_lane,
    lk.next_max_attempts, lk.ahead, lk.owner, lk.intent),
st AS (
  UPDATE executions_steprun s SET
    status = 'completed', quarantined = false, output = r.output, error_code = NULL, error = NULL,
    finished_at = r.at, lease_expires_at = NULL, owner = '', rings = 0, rung_at = NULL
  FROM r WHERE s.id = r.step_run_id AND s.run_id = r.id AND s.fence = r.fence AND s.status || '' = 'running'
  RETURNING s.id, s.run_id, s.position, s.due_at, s.fence, s.attempts),
a AS (
  UPDATE executions_attempt a SET outcome = 'ok', error_code = NULL, error = NULL, finished_at = r.at
  FROM st JOIN r ON r.step_run_id = st.id
  WHERE a.step_run_id = st.id AND a.number = st.attempts AND a.fence = st.fence AND a.outcome IS NULL
  RETURNING 1),
e AS (
  UPDATE executions_effect e SET decided_at = r.at, answer = r.answer, status = 'done'
  FROM st JOIN r ON r.step_run_id = st.id WHERE e.step_run_id = st.id AND e.decided_at IS NULL
  RETURNING 1),
n AS (
  INSERT INTO executions_steprun {STEP_COLUMNS}
  SELECT r.id, r.workflow_id, st.position + 1, r.next_key, r.next_type, r.next_lane, r.next_max_attempts,
    CASE WHEN r.ahead THEN 'running' ELSE 'ready' END, r.ahead::int, r.ahead::int,
    0, 0, false, CASE WHEN r.ahead THEN clock_timestamp() + make_interval(secs => %(lease)s::float8) END,
    CASE WHEN r.ahead THEN r.owner ELSE '' END, r.at, 0, false, CASE WHEN r.ahead THEN r.at END, NULL
  FROM st JOIN r ON r.step_run_id = st.id WHERE r.next_key IS NOT NULL RETURNING id, run_id, status, key, lane),
ne AS (  -- who continues may send at once: the next request is in the ledger by the same COMMIT
  INSERT INTO executions_effect (scope, key, step_run_id, fence, status, request, request_digest, created_at)
  SELECT n.run_id, r.intent->>'key', n.id, 1, 'intent', r.intent->'request', decode(r.intent->>'digest', 'hex'), r.at
  FROM n JOIN r ON r.id = n.run_id WHERE n.status = 'running' AND r.intent IS NOT NULL
  ON CONFLICT (scope, key) DO NOTHING RETURNING step_run_id, request),
na AS (
  INSERT INTO executions_attempt (step_run_id, number, fence, worker, alone, started_at, intent_at)
  SELECT n.id, 1, 1, %(worker)s::text, false, r.at, CASE WHEN ne.step_run_id IS NOT NULL THEN r.at END
  FROM n JOIN r ON r.id = n.run_id LEFT JOIN ne ON ne.step_run_id = n.id WHERE n.status = 'running'),
t AS ({timeline.APPEND_EACH}
  UNION ALL
  SELECT r.id, r.seq, 'step.started', n.key, 1, r.at, 'ready', 'running', 1, '{{}}'::jsonb
  FROM n JOIN r ON r.id = n.run_id WHERE n.status = 'running')
SELECT CASE WHEN (SELECT count(*) FROM st) = %(number)s::int AND (SELECT count(*) FROM a) = %(number)s::int
              AND (SELECT count(*) FROM e) = %(number)s::int THEN 1 ELSE lost_race() END,
       r.step_run_id, n.id, n.status,
       ({LANE_STANDS}) OR coalesce(n.status = 'ready' AND n.lane = %(lane)s::text, false),
       (SELECT ne.request::text FROM ne WHERE ne.step_run_id = n.id)
FROM (SELECT 1) one LEFT JOIN r ON true LEFT JOIN n ON n.run_id = r.id
"""


# In company nobody waits for a run that somebody else has locked: it would keep all the others waiting.
COMPLETE_SEVERAL = COMPLETE.replace("FOR UPDATE OF x)", "FOR UPDATE OF x SKIP LOCKED)")


def complete(settlements: list[Settlement]) -> list[Settled]:
    """Write these plain successes of one lane, and what follows from each, in their order; or nothing.

    Raises:
        LostRace: at least one of the steps was taken over, given up or cancelled meanwhile; or, if they are several,
            one's run is locked by somebody else right now.
    """
    first = settlements[0]
    found = sql.rows(
        COMPLETE if len(settlements) == 1 else COMPLETE_SEVERAL,
        {
            "completions": sql.json([_row(settlement) for settlement in settlements]),
            "number": len(settlements),
            "lane": first.lane,
            "worker": first.worker,
            "lease": first.lease_seconds,
        },
    )
    settled = {
        row[1]: Settled(row[2], row[3] == StepStatus.RUNNING, None, bool(row[4]), _kept(row[5]))
        for row in found
    }
    return [settled[settlement.step_run_id] for settlement in settlements]


def _kept(request: str | None) -> dict[str, Any] | None:
    return strict_json.from_storage(request) if request else None


def _row(settlement: Settlement) -> dict[str, Any]:
    following = settlement.next_step or {}
    return {
        "id": settlement.step_run_id,
        "run_id": settlement.run_id,
        "workflow_id": settlement.workflow_id,
        "fence": settlement.fence,
        "run_status": settlement.run_status.value,
        "entries": settlement.entries,
        "output": settlement.output,
        "answer": settlement.answer,
        "next_key": following.get("key"),
        "next_type": following.get("type"),
        "next_lane": following.get("lane"),
        "next_max_attempts": following.get("max_attempts"),
        "may_continue": settlement.may_continue and bool(following),
        "owner": settlement.owner or settlement.worker,
        "intent": settlement.next_intent,
    }
