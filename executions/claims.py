"""Taking steps: claim (fence, lease, attempt counted before the work). `renewals` prolongs the leases.

A claim in company takes `queued` steps. A claim in a cell (a process of its own) takes quarantined steps and
those whose lease ran out, and fast steps that were rung three times without moving. Neither takes a slow step that
is `ready`: admission is the only way into the window.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings

from executions import egress
from executions.circuits.rows import TROUBLED
from lightfield.kernel import sql, strict_json

# While a transaction holds these locks, nobody else changes these runs or their steps.
LOCK_RUNS = """
SELECT r.id, r.status FROM executions_run r JOIN executions_steprun s ON s.run_id = r.id
WHERE s.id = ANY(%(ids)s::bigint[]) AND r.status NOT IN ('completed', 'failed', 'cancelled')
ORDER BY r.id FOR UPDATE OF r SKIP LOCKED
"""

IN_COMPANY = "s.status || '' = 'queued' AND NOT s.quarantined"
IN_CELL = """((s.status || '' = 'queued' AND s.quarantined)
    OR (s.status || '' = 'running' AND s.lease_expires_at < clock_timestamp())
    OR (s.lane = 'fast' AND s.rings >= 3 AND s.due_at <= clock_timestamp()
        AND (s.status || '' = 'ready' OR (s.status || '' = 'waiting' AND s.error_code IS NOT NULL))))"""

LOCKED_BEFORE = "SELECT r.id, r.status FROM executions_run r WHERE r.id = ANY(%(locked)s::uuid[])"

CLAIM = """
WITH lk AS MATERIALIZED ({locked}),
c AS MATERIALIZED (
  SELECT s.id, s.run_id, s.status AS was, s.attempts AS tried, lk.status AS run_was
  FROM lk JOIN executions_steprun s ON s.run_id = lk.id
  WHERE s.id = ANY(%(ids)s::bigint[]) AND {eligible}
    AND s.attempts - s.lost - s.held - (s.status = 'running')::int < s.max_attempts
  ORDER BY s.run_id FOR UPDATE OF s),
old AS (  -- the attempt whose worker died
  UPDATE executions_attempt a SET outcome = 'lost', error_code = 'step.worker_lost', finished_at = clock_timestamp()
  FROM c WHERE c.was = 'running' AND a.step_run_id = c.id AND a.number = c.tried AND a.outcome IS NULL
  RETURNING a.step_run_id, a.number, a.fence, a.alone AND a.witnessed AS to_blame, a.worker, a.intent_at),
st AS (
  UPDATE executions_steprun s SET status = 'running', fence = s.fence + 1, attempts = s.attempts + 1,
    lost = s.lost + (c.was = 'running')::int, lost_alone = s.lost_alone + coalesce(old.to_blame, false)::int,
    quarantined = s.quarantined OR c.was = 'running',
    lease_expires_at = clock_timestamp() + make_interval(secs => %(lease)s::float8), owner = %(owner)s::text,
    rings = 0, rung_at = NULL, started_at = coalesce(s.started_at, clock_timestamp())
  FROM c LEFT JOIN old ON old.step_run_id = c.id WHERE s.id = c.id
  RETURNING s.id, s.run_id, s.key, s.fence, s.attempts, c.was, c.tried, c.run_was,
            old.fence AS old_fence, old.intent_at, old.worker AS old_worker,
            s.position, s.type, s.lane, s.status, s.lost, s.max_attempts, s.due_at, s.held, s.error_code, s.started_at),
a AS (
  INSERT INTO executions_attempt (step_run_id, number, fence, worker, alone, started_at)
  SELECT id, attempts, fence, %(worker)s::text, %(alone)s::bool, clock_timestamp() FROM st),
r AS (
  UPDATE executions_run r SET status = 'running', last_at = greatest(r.last_at, clock_timestamp()),
    seq = r.seq + 1 + (st.run_was = 'pending')::int + (st.was = 'running')::int,
    started_at = coalesce(r.started_at, clock_timestamp())
  FROM st WHERE r.id = st.run_id
  RETURNING r.id, r.seq, r.last_at AS at, st.key, st.fence, st.attempts, st.was, st.tried, st.run_was,
            st.old_fence, st.intent_at, st.old_worker),
t AS (
  INSERT INTO executions_timelineentry
    (run_id, seq, type, step_key, attempt, at, from_status, to_status, fence, metadata)
  SELECT id, seq - 1 - (was = 'running')::int, 'run.started', NULL, NULL, at, 'pending', 'running', NULL, '{{}}'::jsonb
  FROM r WHERE run_was = 'pending'
  UNION ALL
  SELECT id, seq - 1, 'step.lost', key, tried, at, 'running', 'ready', old_fence,
    jsonb_build_object('worker', old_worker, 'may_have_sent', intent_at IS NOT NULL) FROM r WHERE was = 'running'
  UNION ALL
  SELECT id, seq, 'step.started', key, attempts, at,
    CASE WHEN was = 'running' OR tried = 0 THEN 'ready' ELSE 'waiting' END, 'running', fence, '{{}}'::jsonb FROM r)
{context}
"""

# Everything that attempts need: one row per step. `request` is there when an earlier attempt froze it.
_CONTEXT = """
SELECT s.id, s.run_id, r.workflow_id, r.version_id, s.position, s.key, s.type, s.lane, s.status, s.fence, s.attempts,
  s.lost, s.max_attempts, r.trace_id, {run_status}, e.payload::text, w.name, v.number,
  (SELECT jsonb_object_agg(p.key, p.output) FROM executions_steprun p
   WHERE p.run_id = s.run_id AND p.status = 'completed')::text,
  f.key, f.request::text, s.due_at, s.due_at <= statement_timestamp(),
  (SELECT x.outcome FROM executions_attempt x WHERE x.step_run_id = s.id AND x.number = s.attempts),
  s.lane <> 'fast' AND EXISTS (
    SELECT 1 FROM executions_steprun w WHERE w.lane = s.lane AND w.status IN ('ready', 'waiting') AND w.held_host IS NULL AND w.id <> s.id
      AND w.due_at <= statement_timestamp()), e.depth,
  s.held, s.error_code, extract(epoch FROM clock_timestamp() - s.started_at)::float8, {circuits}::text,
  r.replay_of_id IS NOT NULL
FROM {steps} s JOIN executions_run r ON r.id = s.run_id JOIN triggers_outboxevent e ON e.id = r.event_id
JOIN workflows_workflow w ON w.id = r.workflow_id JOIN workflows_workflowversion v ON v.id = r.version_id
LEFT JOIN executions_effect f ON f.step_run_id = s.id AND f.decided_at IS NULL
{which} ORDER BY s.run_id"""
CONTEXT = _CONTEXT.format(
    run_status="r.status", steps="executions_steprun", which="WHERE {which}", circuits="NULL"
)

# Of what was just claimed: `r` is still what it was before.
CONTEXT_OF_CLAIMED = _CONTEXT.format(run_status="'running'", steps="st", which="", circuits=TROUBLED)
# One statement and no transaction around it: a lock that skips waits for nobody, so it sees what it locks.
CLAIM_IN_COMPANY = CLAIM.format(locked=LOCK_RUNS, eligible=IN_COMPANY, context=CONTEXT_OF_CLAIMED)

# Until no transaction holds the runs of these steps: a claim whose connection broke may still be underway.
WAIT_FOR_RUNS = """
SELECT r.id FROM executions_run r JOIN executions_steprun s ON s.run_id = r.id
WHERE s.id = ANY(%(ids)s::bigint[]) ORDER BY r.id FOR SHARE OF r
"""


@dataclass
class StepInHand:
    """A step that this process may work on, with everything its attempt needs."""

    step_run_id: int
    run_id: str
    workflow_id: str
    version_id: int
    position: int
    key: str
    type: str
    lane: str
    status: str
    fence: int
    attempt: int  # number of the current attempt; of the last one for a fast step that is not claimed
    lost: int
    max_attempts: int
    trace_id: str
    run_status: str
    payload: Any
    workflow_name: str
    version_number: int
    outputs: dict[str, Any] = field(default_factory=dict)
    effect_key: str = ""
    request: dict[str, Any] | None = None
    due_at: Any = None
    last_outcome: str | None = None
    is_due: bool = True
    lane_waits: bool = False  # other due steps of its lane wait for a slot
    depth: int = 0  # how many runs led to its run's event
    held: int = 0
    error_code: str | None = None  # of the attempt before: it stays until this one is settled
    seconds: float = 0.0  # since its first attempt began
    is_replay: bool = False  # its run

    def opened(self) -> StepInHand:
        """The same step with its next attempt counted: what a fast step's error is judged by."""
        return replace(self, attempt=self.attempt + 1)

    def followed_by(
        self, step_run_id: int, plan: dict[str, Any], output: dict[str, Any], *, is_claimed: bool
    ) -> StepInHand:
        """The next step of the same run, ready or already claimed by this worker."""
        return replace(
            self,
            step_run_id=step_run_id,
            position=self.position + 1,
            key=plan["key"],
            type=plan["type"],
            lane=plan["lane"],
            max_attempts=plan["max_attempts"],
            status="running" if is_claimed else "ready",
            fence=int(is_claimed),
            attempt=int(is_claimed),
            lost=0,
            held=0,
            error_code=None,
            seconds=0.0,
            run_status="running",
            outputs={**self.outputs, self.key: output},
            effect_key=f"{self.run_id}:{plan['key']}",
            request=None,
            due_at=None,
            last_outcome=None,
        )

    @property
    def used_attempts(self) -> int:
        """Attempts that count against max_attempts."""
        return self.attempt - self.lost - self.held


@sql.retrying_conflicts
def claim(ids: list[int], *, worker: str, owner: str = "") -> list[StepInHand]:
    """Take those of `ids` that are queued: one statement, one attempt counted for each. Cells have their own.

    `owner`: a token of this call (`new_owner`), by which `owned` finds what it took when its reply is lost.
    """
    return _take(CLAIM_IN_COMPANY, ids, [], worker=worker, owner=owner, alone=False)


def lock_runs(ids: list[int]) -> list[Any]:
    """Lock the live runs of these steps that nobody else has locked; their ids. In the caller's transaction."""
    return [found[0] for found in sql.rows(LOCK_RUNS, {"ids": ids})]


def take(
    ids: list[int], locked: list[Any], eligible: str, *, worker: str, owner: str, alone: bool = False
) -> list[StepInHand]:
    """Those of `ids` that are `eligible`, if their run is among the `locked`. In the transaction that locked it."""
    if not ids or not locked:
        return []
    statement = CLAIM.format(locked=LOCKED_BEFORE, eligible=eligible, context=CONTEXT_OF_CLAIMED)
    return _take(statement, ids, locked, worker=worker, owner=owner, alone=alone)


def _take(
    statement: str, ids: list[int], locked: list[Any], *, worker: str, owner: str, alone: bool
) -> list[StepInHand]:
    params = {
        "ids": ids,
        "locked": locked,
        "lease": settings.LIGHTFIELD_LEASE_SECONDS,
        "worker": worker,
        "owner": owner or worker,
        "alone": alone,
    }
    asked_at = time.monotonic()
    claimed = sql.rows(statement, params)
    if claimed:
        egress.current_breaker().learn(json.loads(claimed[0][29] or "{}"), asked_at=asked_at)
    return [_read(found) for found in claimed]


def in_hand(ids: list[int]) -> list[StepInHand]:
    """These steps with their contexts."""
    return [
        _read(found)
        for found in sql.rows(CONTEXT.format(which="s.id = ANY(%(ids)s::bigint[])"), {"ids": ids})
    ]


def new_owner(worker: str) -> str:
    """A token under which one transaction of `worker` holds steps: its name and a random part."""
    return f"{worker}#{secrets.token_hex(4)}"


def owned(owner: str, ids: list[int]) -> list[StepInHand]:
    """Those of `ids` that are held under this token, once nobody is at their runs any more."""
    sql.rows(WAIT_FOR_RUNS, {"ids": ids})
    which = "s.id = ANY(%(ids)s::bigint[]) AND s.status || '' = 'running' AND s.owner = %(owner)s::text"
    return [_read(found) for found in sql.rows(CONTEXT.format(which=which), {"ids": ids, "owner": owner})]


def owned_in_run(owner: str, run_id: str) -> list[StepInHand]:
    """The live step of a run if it is held under this token, else nothing."""
    which = "s.run_id = %(run_id)s::uuid AND s.status || '' = 'running' AND s.owner = %(owner)s::text"
    found = sql.rows(CONTEXT.format(which=which), {"run_id": run_id, "owner": owner})
    return [_read(row) for row in found]


def live_step(run_id: str) -> StepInHand | None:
    """The live step of a run with its context, or None when the run has ended."""
    which = "s.run_id = %(run_id)s::uuid AND s.finished_at IS NULL"
    found = sql.row(CONTEXT.format(which=which), {"run_id": run_id})
    return _read(found) if found else None


def _read(found: tuple[Any, ...]) -> StepInHand:
    run_id = str(found[1])
    return StepInHand(
        step_run_id=found[0],
        run_id=run_id,
        workflow_id=str(found[2]),
        version_id=found[3],
        position=found[4],
        key=found[5],
        type=found[6],
        lane=found[7],
        status=found[8],
        fence=found[9],
        attempt=found[10],
        lost=found[11],
        max_attempts=found[12],
        trace_id=found[13],
        run_status=found[14],
        payload=strict_json.from_storage(found[15]),
        workflow_name=found[16],
        version_number=found[17],
        outputs=strict_json.from_storage(found[18]) if found[18] else {},
        effect_key=found[19] or f"{run_id}:{found[5]}",
        request=strict_json.from_storage(found[20]) if found[20] else None,
        due_at=found[21],
        is_due=found[22],
        last_outcome=found[23],
        lane_waits=found[24],
        depth=found[25],
        held=found[26],
        error_code=found[27],
        seconds=found[28] or 0.0,
        is_replay=found[30],
    )
