"""Events become runs. One statement takes a batch of a shard's pending events, in turn over its workflows.

No lock on the shard: event rows are taken with SKIP LOCKED, so any number of dispatchers may drain one shard
and a wake-up cannot be lost between them. In one process one thread at a time drains a shard: a second would
take the thread that another shard needs. A batch that fails is tried event by event; an event that fails
three times becomes `poison` and the rest go on.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, transaction

from executions import admission, engine
from lightfield.kernel import bells, sql
from lightfield.kernel.crashpoint import crashpoint

logger = logging.getLogger(__name__)

BATCH = 100
MOST_TRIES = 3
TURN_SECONDS = (
    0.5  # a message drains for so long, then rings again: what else the queue holds must not wait for a flood
)
LONGEST_SECONDS = 5.0  # a turn that takes this long hangs in what it started, admission or fast steps: others go on without it

PICK = """
WITH RECURSIVE wf(w) AS (  -- skip scan: one index probe per workflow with pending events
  (SELECT workflow_id FROM triggers_outboxevent WHERE shard = %(shard)s::int AND status = 'pending'
   ORDER BY workflow_id LIMIT 1)
  UNION ALL
  SELECT (SELECT e.workflow_id FROM triggers_outboxevent e WHERE e.shard = %(shard)s::int AND e.status = 'pending'
            AND e.workflow_id > wf.w ORDER BY 1 LIMIT 1)
  FROM wf WHERE wf.w IS NOT NULL),
pick AS MATERIALIZED (
  SELECT c.id FROM wf CROSS JOIN LATERAL (
    SELECT e.id, row_number() OVER (ORDER BY e.id) AS turn FROM triggers_outboxevent e
    WHERE e.shard = %(shard)s::int AND e.status = 'pending' AND e.workflow_id = wf.w ORDER BY e.id LIMIT %(batch)s::int) c
  WHERE wf.w IS NOT NULL ORDER BY c.turn, c.id LIMIT %(batch)s::int),
"""

ONE = "WITH pick AS MATERIALIZED (SELECT %(event_id)s::uuid AS id),"

DISPATCH = """
ev AS MATERIALIZED (
  SELECT e.id, e.workflow_id, e.version_id, e.trace_id, e.depth, e.caused_by
  FROM triggers_outboxevent e JOIN pick USING (id)
  WHERE e.status || '' = 'pending' ORDER BY e.id FOR UPDATE OF e SKIP LOCKED),
fate AS MATERIALIZED (
  SELECT ev.*, CASE WHEN w.status = 'archived' THEN 'workflow.archived'
                    WHEN ev.caused_by IS NOT NULL  -- looked up for these alone, whatever is planned for the others
                      AND (SELECT cause.workflow_id FROM executions_run cause WHERE cause.id = ev.caused_by) = ev.workflow_id
                      AND v.definition #> '{trigger,config,own_changes}' IS DISTINCT FROM 'true' THEN 'trigger.own_change'
                    WHEN ev.depth > %(max_depth)s::int THEN 'run.depth_exceeded' END AS ignored_as,
         v.plan->0->>'key' AS key, v.plan->0->>'type' AS type, v.plan->0->>'lane' AS lane,
         (v.plan->0->>'max_attempts')::int AS max_attempts, v.timeout_seconds,
         v.failure_channels <> '{}' AS in_streak
  FROM ev JOIN workflows_workflow w ON w.id = ev.workflow_id JOIN workflows_workflowversion v ON v.id = ev.version_id),
mark AS (
  UPDATE triggers_outboxevent e SET decided_at = clock_timestamp(), error_code = fate.ignored_as,
    status = CASE WHEN fate.ignored_as IS NULL THEN 'dispatched' ELSE 'ignored' END
  FROM fate WHERE e.id = fate.id),
r AS (
  INSERT INTO executions_run (id, event_id, generation, workflow_id, version_id, status, seq, trace_id,
    last_at, created_at, deadline_at, in_streak)
  SELECT uuid_v7(), id, 1, workflow_id, version_id, 'pending', 1, trace_id, now.at, now.at,
    now.at + make_interval(secs => timeout_seconds), in_streak
  FROM fate CROSS JOIN (SELECT clock_timestamp() AS at) now WHERE ignored_as IS NULL ORDER BY fate.id
  ON CONFLICT (event_id, generation) DO NOTHING RETURNING id, event_id, workflow_id, created_at),
s AS (
  INSERT INTO executions_steprun (run_id, workflow_id, position, key, type, lane, max_attempts, status, fence, attempts,
    lost, lost_alone, quarantined, owner, due_at, rings, reused)
  SELECT r.id, r.workflow_id, 1, fate.key, fate.type, fate.lane, fate.max_attempts, 'ready', 0, 0,
    0, 0, false, '', r.created_at, 0, false
  FROM r JOIN fate ON fate.id = r.event_id RETURNING run_id, lane),
t AS (
  INSERT INTO executions_timelineentry (run_id, seq, type, at, to_status, metadata)
  SELECT r.id, 1, 'run.created', r.created_at, 'pending', jsonb_build_object('event_id', r.event_id) FROM r)
SELECT (SELECT count(*) FROM pick)::int, (SELECT count(*) FROM ev)::int,
  coalesce((SELECT array_agg(s.run_id) FROM s WHERE s.lane = 'fast'), '{}'),
  coalesce((SELECT array_agg(DISTINCT s.lane) FROM s WHERE s.lane <> 'fast'), '{}')
"""

BLAME = """
UPDATE triggers_outboxevent SET tries = tries + 1 WHERE id = %(event_id)s::uuid AND status || '' = 'pending'
RETURNING tries
"""

POISON = """
UPDATE triggers_outboxevent SET status = 'poison', error_code = 'engine.dispatch_failed', decided_at = clock_timestamp()
WHERE id = %(event_id)s::uuid AND status || '' = 'pending' AND tries >= %(most)s::int
"""

PICKED = PICK.rstrip().rstrip(",") + " SELECT id FROM pick"


@dataclass(frozen=True)
class Batch:
    """What a statement dispatched: events seen and taken, runs whose first step is fast, lanes with new work."""

    picked: int
    taken: int
    fast_run_ids: list[str]
    lanes: list[str]
    is_held: bool = False  # all that was seen is in another process's hands


class Drains:
    """Which shards this process drains right now, and for which of them somebody rang meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rung_again: dict[int, bool] = {}
        self._overdue_at: dict[int, float] = {}  # monotonic

    def begin(self, shard: int) -> bool:
        """False: another thread drains it, and will look again before it ends.

        After 5 s that thread is taken for hung, and a second one begins. Should it come back, two at once do no harm.
        """
        with self._lock:
            now = time.monotonic()
            is_mine = shard not in self._rung_again or now > self._overdue_at[shard]
            self._rung_again[shard] = not is_mine
            if is_mine:
                self._overdue_at[shard] = now + LONGEST_SECONDS
            return is_mine

    def try_to_end(self, shard: int) -> bool:
        """End if nobody rang since the last look, which found nothing. False: somebody did, so look again."""
        with self._lock:
            if self._rung_again.get(shard):
                self._rung_again[shard] = False
                return False
            self._rung_again.pop(shard, None)
            return True

    def leave(self, shard: int) -> None:
        """Events may be left: another thread may begin."""
        with self._lock:
            self._rung_again.pop(shard, None)


drains = Drains()


def dispatch_shard(shard: int) -> int:
    """Drain one shard for at most half a second, then start what was made. Returns the number of events taken.

    That is none if another thread of this process is at it: that one takes them.
    """
    if not drains.begin(shard):
        return 0
    try:
        taken, is_drained = _drain(shard)
    except BaseException:
        drains.leave(shard)
        raise
    if not is_drained:
        bells.ring_dispatch(shard, forced=True)
    return taken


def _drain(shard: int) -> tuple[int, bool]:
    """The events taken, and whether that was all. Either way another thread may begin."""
    taken = 0
    end = time.monotonic() + TURN_SECONDS
    while True:
        batch = dispatch_batch(shard)
        crashpoint("CP-D3")
        taken += batch.taken
        for lane in sorted(set(batch.lanes) | engine.advance(batch.fast_run_ids)):
            admission.admit(lane)  # the first batches need not wait for the last
        is_full = batch.picked == BATCH
        if is_full:
            crashpoint("CP-D5")
        # Whoever holds all that was seen goes on by itself.
        if (not is_full or batch.is_held) and drains.try_to_end(shard):
            return taken, True
        if time.monotonic() > end:
            drains.leave(shard)
            return taken, False


def dispatch_batch(shard: int) -> Batch:
    """One batch. If the statement fails, each of its events alone."""
    try:
        return _run(PICK, {"shard": shard, "batch": BATCH})
    except (OperationalError, InterfaceError):
        raise  # the database is away or in conflict: no event is to blame
    except DatabaseError as error:
        logger.warning("batch_not_dispatched", extra={"shard": shard, "error": str(error)})
        return _one_by_one(shard)


def _one_by_one(shard: int) -> Batch:
    event_ids = [found[0] for found in sql.rows(PICKED, {"shard": shard, "batch": BATCH})]
    batches = [batch for event_id in event_ids if (batch := _dispatch_one(str(event_id)))]
    return Batch(
        picked=len(event_ids),
        taken=sum(batch.taken for batch in batches),
        fast_run_ids=[run_id for batch in batches for run_id in batch.fast_run_ids],
        lanes=sorted({lane for batch in batches for lane in batch.lanes}),
    )


def _dispatch_one(event_id: str) -> Batch | None:
    """The try is counted in its own transaction, before the work: a rollback must not uncount it."""
    if sql.row(BLAME, {"event_id": event_id}) is None:
        return None
    try:
        return _run(ONE, {"event_id": event_id})
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError as error:
        if sql.rows(POISON + " RETURNING id", {"event_id": event_id, "most": MOST_TRIES}):
            logger.exception("event_poisoned", extra={"event_id": event_id})
        else:
            logger.warning("event_not_dispatched", extra={"event_id": event_id, "error": str(error)})
        return None


@sql.retrying_conflicts
def _run(picking: str, params: dict[str, Any]) -> Batch:
    found = sql.row(picking + DISPATCH, {**params, "max_depth": settings.LIGHTFIELD_MAX_DEPTH})
    assert found is not None
    picked, taken, fast_run_ids, lanes = found
    return Batch(
        picked, taken, [str(run_id) for run_id in fast_run_ids], list(lanes), is_held=picked > 0 and not taken
    )


def dispatch_again(event_id: str) -> None:
    """A person gives a poisoned event another three tries."""
    with transaction.atomic():
        again = sql.row(
            "UPDATE triggers_outboxevent SET status = 'pending', tries = 0, error_code = NULL, decided_at = NULL "
            "WHERE id = %(event_id)s::uuid AND status = 'poison' RETURNING shard",
            {"event_id": event_id},
        )
        if again:
            transaction.on_commit(lambda: bells.ring_dispatch(again[0]), robust=True)
