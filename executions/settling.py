"""The door through which a run's status goes once it is started. Two statements write outcomes, and no others do.

`SETTLE` below writes any one of them; `completing.COMPLETE` several plain successes of slow steps at once.

`settle` writes the step, its attempt, its effect, what follows (next step, skipped steps, the run's end) and
the timeline together. The run row is updated first and so locked; every guard sits on a row that the
statement changes; a guard that does not match raises LostRace and undoes all of it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import groupby
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError

from executions import timeline
from executions.completing import complete
from executions.lanes import LANE_STANDS
from executions.notices.capture import CAPTURE_NOTICES
from executions.settlements import STEP_COLUMNS, Settled, Settlement
from executions.states import FINAL_RUN, FINAL_STEP, RunStatus, StepStatus
from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace

logger = logging.getLogger(__name__)

# The effect was intended before anything was sent, and is decided now.
DECIDE = """e AS (
  UPDATE executions_effect e SET decided_at = r.at, answer = %(answer)s::jsonb,
    status = CASE WHEN %(effect)s::text = 'done' THEN 'done'
      WHEN %(may_have_happened)s::bool OR EXISTS (
        SELECT 1 FROM executions_attempt x WHERE x.step_run_id = e.step_run_id
          AND (x.outcome = 'unknown' OR (x.outcome = 'lost' AND x.intent_at IS NOT NULL)))
        OR EXISTS (  -- the key came with a replay: what may have happened under it then may still have happened
          SELECT 1 FROM executions_run x JOIN executions_effect kept ON kept.scope = x.replay_of_id
          WHERE x.id = e.scope AND kept.key = e.key)
        OR EXISTS (  -- an agent has done something, whatever its last attempt did
          SELECT 1 FROM executions_agentturn x WHERE x.step_run_id = e.step_run_id) THEN 'unknown'
      ELSE 'abandoned' END
  FROM st, r WHERE %(effect)s::text IS NOT NULL AND e.step_run_id = st.id AND e.decided_at IS NULL
  RETURNING 1),"""

# The effect of a transactional step is intended and done in one: what it wrote shares this transaction.
NOTE = """e AS (
  INSERT INTO executions_effect (scope, key, step_run_id, fence, status, request, request_digest, answer, created_at,
    decided_at)
  SELECT r.id, x.key, st.id, st.fence, 'done', x.request, decode(x.digest, 'hex'), %(answer)s::jsonb, r.at, r.at
  FROM st, r, jsonb_to_record(%(noted)s::jsonb) AS x(key text, request jsonb, digest text)
  RETURNING 1),"""

_SETTLE = """
WITH r AS (
  UPDATE executions_run SET
    seq = seq + jsonb_array_length(%(entries)s::jsonb),
    status = %(run_status)s::text,
    last_at = greatest(last_at, clock_timestamp()),
    started_at = CASE WHEN %(starts)s::bool THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
    finished_at = CASE WHEN %(run_is_final)s::bool THEN greatest(last_at, clock_timestamp()) END,
    error_code = %(run_error_code)s::text, error = %(run_error)s::jsonb
  WHERE id = %(run_id)s::uuid AND status NOT IN ('completed', 'failed', 'cancelled')
  RETURNING id, seq, workflow_id, version_id, last_at AS at, jsonb_array_length(%(entries)s::jsonb) AS total),
st AS (
  UPDATE executions_steprun s SET
    status = %(status)s::text, fence = s.fence + %(fence_raise)s::int, attempts = s.attempts + %(opens)s::bool::int,
    held = s.held + %(was_held)s::bool::int, held_host = %(held_host)s::text,
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
    error = %(error)s::jsonb, finished_at = r.at{intended}
  FROM st, r WHERE NOT %(opens)s::bool AND %(outcome)s::text IS NOT NULL AND a.step_run_id = st.id
    AND a.number = st.attempts AND a.fence = %(fence)s::int AND a.outcome IS NULL
  RETURNING 1),
o AS (  -- … or, for a fast step, opened and closed at once
  INSERT INTO executions_attempt (step_run_id, number, fence, worker, alone, started_at, finished_at, outcome,
    error_code, error, intent_at)
  SELECT st.id, st.attempts, st.fence, %(worker)s::text, false, r.at, r.at, %(outcome)s::text,
    %(error_code)s::text, %(error)s::jsonb, {intent_at}
  FROM st, r WHERE %(opens)s::bool RETURNING 1),
{ledger}
n AS (
  INSERT INTO executions_steprun {columns}
  SELECT r.id, r.workflow_id, st.position + 1, %(next_key)s::text, %(next_type)s::text, %(next_lane)s::text,
    %(next_max_attempts)s::int, 'ready', 0, 0, 0, 0, false, NULL, '', r.at, 0, false, NULL, NULL
  FROM r, st WHERE %(next_key)s::text IS NOT NULL RETURNING id, status),
k AS (
  INSERT INTO executions_steprun {columns}
  SELECT r.id, r.workflow_id, x.position, x.key, x.type, x.lane, x.max_attempts, 'skipped', 0, 0,
    0, 0, false, NULL, '', r.at, 0, false, NULL, r.at
  FROM r, st, jsonb_to_recordset(%(skipped)s::jsonb)
    AS x(position int, key text, type text, lane text, max_attempts int)),
nt AS ({notices}),
t AS ({append})
SELECT CASE WHEN (SELECT count(*) FROM st) = 1
         AND (%(outcome)s::text IS NULL OR (SELECT count(*) FROM a) + (SELECT count(*) FROM o) = 1)
         AND (%(effect)s::text IS DISTINCT FROM 'done' OR (SELECT count(*) FROM e) = 1)
       THEN 1 ELSE lost_race() END,
       (SELECT id FROM n), (SELECT status FROM n), (SELECT due_at FROM st),
       %(lane)s::text <> 'fast' AND {lane_stands}
         OR (%(next_lane)s::text = %(lane)s::text AND EXISTS (SELECT 1 FROM n))
"""


def _statement(ledger: str, *, intended: bool) -> str:
    return _SETTLE.format(
        ledger=ledger,
        intended=", intent_at = r.at" if intended else "",
        intent_at="r.at" if intended else "NULL::timestamptz",
        columns=STEP_COLUMNS,
        append=timeline.APPEND,
        notices=CAPTURE_NOTICES,
        lane_stands=LANE_STANDS,
    )


SETTLE = _statement(DECIDE, intended=False)
SETTLE_NOTED = _statement(NOTE, intended=True)


def settle(settlement: Settlement) -> Settled:
    """Write an outcome and everything that follows from it, or nothing.

    Raises:
        LostRace: the step was taken over, given up or cancelled meanwhile. Write nothing more.
    """
    if settlement.is_plain:
        return _complete_alone(settlement)
    found = sql.row(SETTLE_NOTED if settlement.noted else SETTLE, _params(settlement))
    assert found is not None  # one row, or lost_race() raised
    return Settled(found[1], found[2] == StepStatus.RUNNING, found[3], bool(found[4]))


def _params(s: Settlement) -> dict[str, Any]:
    following = s.next_step or {}
    run_failed = s.run_status == RunStatus.FAILED
    return {
        "run_id": s.run_id,
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
        "noted": sql.json(s.noted),
        "answer": sql.json(s.answer),
        "may_have_happened": s.may_have_happened,
        "next_key": following.get("key"),
        "next_type": following.get("type"),
        "next_lane": following.get("lane"),
        "next_max_attempts": following.get("max_attempts"),
        "skipped": sql.json(s.skipped),
        "was_held": s.held,
        "held_host": s.held_host,
        "was_lost": s.lost,
        "was_lost_alone": s.lost_alone,
        "keeps_lease": s.keeps_lease,
        "worker": s.worker,
    }


def _complete_alone(settlement: Settlement) -> Settled:
    """A next request that PostgreSQL refuses must not keep this step's own outcome from being written."""
    try:
        return complete([settlement])[0]
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError:
        if settlement.next_intent is None:
            raise
        logger.warning("next_intent_refused", extra={"run_id": settlement.run_id})
        return complete([replace(settlement, next_intent=None)])[0]


def settle_together(settlements: list[Settlement]) -> list[Settled | None]:
    """Write several plain successes. Returns what came of each, in their order; None: settle it alone.

    Several fit into one statement or none does, and then nothing is written. One alone is settled as ever.

    Raises:
        LostRace: only of one alone.
        OperationalError, InterfaceError: the database is away; perhaps they are written, perhaps not.
    """
    if len(settlements) == 1:
        return [settle(settlements[0])]
    by_lane = sorted(range(len(settlements)), key=lambda place: settlements[place].lane)
    found: dict[int, Settled | None] = {}
    for _, group in groupby(by_lane, key=lambda place: settlements[place].lane):
        places = list(group)
        found.update(zip(places, _complete([settlements[place] for place in places]), strict=True))
    return [found[place] for place in range(len(settlements))]


def _complete(settlements: list[Settlement]) -> list[Settled | None]:
    try:
        return [*complete(settlements)]
    except (OperationalError, InterfaceError):
        raise
    except (LostRace, DatabaseError):
        return [None] * len(settlements)
