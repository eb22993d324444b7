"""The door through which a run's status goes once it is started: one statement per outcome of a step.

`settle` writes the step, its attempt, its effect, what follows (next step, skipped steps, the run's end) and
the timeline together. The run row is updated first and so locked; every guard sits on a row that the
statement changes; a guard that does not match raises LostRace and undoes all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from executions import timeline
from executions.states import FINAL_RUN, FINAL_STEP, AttemptOutcome, RunStatus, StepStatus
from lightfield.kernel import sql

STEP_COLUMNS = """(run_id, workflow_id, position, key, type, lane, max_attempts, status, fence, attempts,
   lost, lost_alone, quarantined, lease_expires_at, owner, due_at, rings, reused, started_at, finished_at)"""

SETTLE = f"""
WITH go AS MATERIALIZED (  -- may the worker go on with the next step? Not while another workflow waits here
  SELECT %(may_continue)s::bool AND NOT coalesce(
    (SELECT workflow_id FROM executions_steprun WHERE lane = %(next_lane)s::text AND status IN ('ready', 'waiting')
       AND due_at <= statement_timestamp() ORDER BY workflow_id LIMIT 1) <> %(workflow_id)s::uuid
    OR (SELECT workflow_id FROM executions_steprun WHERE lane = %(next_lane)s::text AND status IN ('ready', 'waiting')
       AND due_at <= statement_timestamp() ORDER BY workflow_id DESC LIMIT 1) <> %(workflow_id)s::uuid,
    false) AS ahead),
r AS (
  UPDATE executions_run SET
    seq = seq + jsonb_array_length(%(entries)s::jsonb) + go.ahead::int,
    status = %(run_status)s::text,
    last_at = greatest(last_at, clock_timestamp()),
    started_at = CASE WHEN %(starts)s::bool THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
    finished_at = CASE WHEN %(run_is_final)s::bool THEN greatest(last_at, clock_timestamp()) END,
    error_code = %(run_error_code)s::text, error = %(run_error)s::jsonb
  FROM go WHERE id = %(run_id)s::uuid AND status IN ('pending', 'running', 'waiting')
  RETURNING id, seq, workflow_id, last_at AS at, go.ahead,
            jsonb_array_length(%(entries)s::jsonb) + go.ahead::int AS total),
st AS (
  UPDATE executions_steprun s SET
    status = %(status)s::text, fence = s.fence + %(fence_raise)s::int, attempts = s.attempts + %(opens)s::bool::int,
    lost = s.lost + %(was_lost)s::bool::int, lost_alone = s.lost_alone + %(was_lost_alone)s::bool::int,
    quarantined = false, output = %(output)s::jsonb, error_code = %(error_code)s::text, error = %(error)s::jsonb,
    due_at = CASE WHEN %(delay_seconds)s::float8 IS NULL THEN s.due_at
                  ELSE r.at + make_interval(secs => %(delay_seconds)s::float8) END,
    started_at = CASE WHEN %(opens)s::bool THEN coalesce(s.started_at, r.at) ELSE s.started_at END,
    finished_at = CASE WHEN %(is_final)s::bool THEN r.at END,
    lease_expires_at = CASE WHEN %(keeps_lease)s::bool THEN s.lease_expires_at END,
    owner = '', rings = 0, rung_at = NULL
  FROM r WHERE s.id = %(step_run_id)s::bigint AND s.run_id = r.id AND s.fence = %(fence)s::int
    AND s.status = %(was)s::text
  RETURNING s.id, s.position, s.due_at, s.fence, s.attempts),
a AS (  -- the open attempt is closed …
  UPDATE executions_attempt a SET outcome = %(outcome)s::text, error_code = %(error_code)s::text,
    error = %(error)s::jsonb, finished_at = r.at
  FROM st, r WHERE NOT %(opens)s::bool AND %(outcome)s::text IS NOT NULL AND a.step_run_id = st.id
    AND a.number = st.attempts AND a.fence = %(fence)s::int AND a.outcome IS NULL
  RETURNING 1),
o AS (  -- … or, for a fast step, opened and closed at once
  INSERT INTO executions_attempt (step_run_id, number, fence, worker, alone, started_at, finished_at, outcome,
    error_code, error)
  SELECT st.id, st.attempts, st.fence, %(worker)s::text, false, r.at, r.at, %(outcome)s::text,
    %(error_code)s::text, %(error)s::jsonb
  FROM st, r WHERE %(opens)s::bool RETURNING 1),
e AS (
  UPDATE executions_effect e SET decided_at = r.at, answer = %(answer)s::jsonb,
    status = CASE WHEN %(effect)s::text = 'done' THEN 'done'
      WHEN %(may_have_happened)s::bool OR EXISTS (
        SELECT 1 FROM executions_attempt x WHERE x.step_run_id = e.step_run_id
          AND (x.outcome = 'unknown' OR (x.outcome = 'lost' AND x.intent_at IS NOT NULL)))
        OR EXISTS (  -- the key came with a replay: what may have happened under it then may still have happened
          SELECT 1 FROM executions_run x JOIN executions_effect kept ON kept.scope = x.replay_of_id
          WHERE x.id = e.scope AND kept.key = e.key) THEN 'unknown'
      ELSE 'abandoned' END
  FROM st, r WHERE %(effect)s::text IS NOT NULL AND e.step_run_id = st.id AND e.status = 'intent'
  RETURNING 1),
n AS (
  INSERT INTO executions_steprun {STEP_COLUMNS}
  SELECT r.id, r.workflow_id, st.position + 1, %(next_key)s::text, %(next_type)s::text, %(next_lane)s::text,
    %(next_max_attempts)s::int, CASE WHEN r.ahead THEN 'running' ELSE 'ready' END, r.ahead::int, r.ahead::int,
    0, 0, false, CASE WHEN r.ahead THEN clock_timestamp() + make_interval(secs => %(lease)s::float8) END,
    CASE WHEN r.ahead THEN %(owner)s::text ELSE '' END, r.at, 0, false, CASE WHEN r.ahead THEN r.at END, NULL
  FROM r, st WHERE %(next_key)s::text IS NOT NULL RETURNING id, status, key),
na AS (
  INSERT INTO executions_attempt (step_run_id, number, fence, worker, alone, started_at)
  SELECT n.id, 1, 1, %(worker)s::text, false, r.at FROM n, r WHERE n.status = 'running'),
k AS (
  INSERT INTO executions_steprun {STEP_COLUMNS}
  SELECT r.id, r.workflow_id, x.position, x.key, x.type, x.lane, x.max_attempts, 'skipped', 0, 0,
    0, 0, false, NULL, '', r.at, 0, false, NULL, r.at
  FROM r, st, jsonb_to_recordset(%(skipped)s::jsonb)
    AS x(position int, key text, type text, lane text, max_attempts int)),
t AS ({timeline.APPEND}
  UNION ALL
  SELECT r.id, r.seq, 'step.started', n.key, 1, r.at, 'ready', 'running', 1, '{{}}'::jsonb
  FROM r, n WHERE n.status = 'running')
SELECT CASE WHEN (SELECT count(*) FROM st) = 1
         AND (%(outcome)s::text IS NULL OR (SELECT count(*) FROM a) + (SELECT count(*) FROM o) = 1)
         AND (%(effect)s::text IS DISTINCT FROM 'done' OR (SELECT count(*) FROM e) = 1)
       THEN 1 ELSE lost_race() END,
       (SELECT id FROM n), (SELECT status FROM n), (SELECT due_at FROM st),
       %(lane)s::text <> 'fast' AND EXISTS (
         SELECT 1 FROM executions_steprun WHERE lane = %(lane)s::text AND status IN ('ready', 'waiting')
           AND due_at <= statement_timestamp())
         OR EXISTS (SELECT 1 FROM n WHERE n.status = 'ready' AND %(next_lane)s::text = %(lane)s::text)
"""


@dataclass(frozen=True)
class Settlement:
    """What came of a step, in full. Fields not given keep their neutral value."""

    run_id: str
    workflow_id: str
    step_run_id: int
    lane: str
    fence: int  # as claimed or read: the guard
    was: StepStatus  # the other half of the guard
    status: StepStatus
    run_status: RunStatus
    entries: list[dict[str, Any]]
    outcome: AttemptOutcome | None = None  # None: there is no open attempt to close
    opens: bool = False  # a fast step: the attempt is opened and closed here
    raises_fence: bool = False
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    delay_seconds: float | None = None
    effect: str | None = None  # "done", "by_attempts", or None: stays as it is
    answer: dict[str, Any] | None = None
    may_have_happened: bool = False  # of this attempt
    next_step: dict[str, Any] | None = None  # its entry of the version's plan
    may_continue: bool = False
    skipped: list[dict[str, Any]] = field(default_factory=list)
    lost: bool = False
    lost_alone: bool = False
    keeps_lease: bool = False
    worker: str = ""
    owner: str = ""  # what the next step is held under: a token of this settlement alone
    lease_seconds: float = 0.0


@dataclass(frozen=True)
class Settled:
    """What followed: the next step's row if there is one, and whether this worker already holds it."""

    next_step_run_id: int | None
    continues: bool
    due_at: Any
    lane_waits: bool  # steps of this slow lane wait for a slot


def settle(settlement: Settlement) -> Settled:
    """Write an outcome and everything that follows from it, or nothing.

    Raises:
        LostRace: the step was taken over, given up or cancelled meanwhile. Write nothing more.
    """
    s = settlement
    following = s.next_step or {}
    run_failed = s.run_status == RunStatus.FAILED
    found = sql.row(
        SETTLE,
        {
            "run_id": s.run_id,
            "workflow_id": s.workflow_id,
            "step_run_id": s.step_run_id,
            "lane": s.lane,
            "fence": s.fence,
            "fence_raise": int(s.raises_fence or s.opens),
            "was": s.was.value,
            "status": s.status.value,
            "is_final": s.status in FINAL_STEP,
            "run_status": s.run_status.value,
            "run_is_final": s.run_status in FINAL_RUN,
            "run_error_code": s.error["code"] if run_failed and s.error else None,
            "run_error": sql.json(s.error if run_failed else None),
            "starts": s.opens,  # a claim has told the start already
            "entries": sql.json(s.entries),
            "outcome": s.outcome.value if s.outcome else None,
            "opens": s.opens,
            "output": sql.json(s.output),
            "error_code": s.error["code"] if s.error else None,
            "error": sql.json(s.error),
            "delay_seconds": s.delay_seconds,
            "effect": s.effect,
            "answer": sql.json(s.answer),
            "may_have_happened": s.may_have_happened,
            "next_key": following.get("key"),
            "next_type": following.get("type"),
            "next_lane": following.get("lane"),
            "next_max_attempts": following.get("max_attempts"),
            "may_continue": s.may_continue and bool(following),
            "skipped": sql.json(s.skipped),
            "was_lost": s.lost,
            "was_lost_alone": s.lost_alone,
            "keeps_lease": s.keeps_lease,
            "worker": s.worker,
            "owner": s.owner or s.worker,
            "lease": s.lease_seconds,
        },
    )
    assert found is not None  # one row, or lost_race() raised
    return Settled(found[1], found[2] == StepStatus.RUNNING, found[3], bool(found[4]))
