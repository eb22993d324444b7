"""What a person may do to a run: cancel it, replay it. Callers check the right; each deed is audited."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from executions.ending import end_run
from executions.models import Run
from executions.states import RunStatus
from lightfield.access import audit
from lightfield.kernel import bells, sql
from lightfield.kernel.errors import RequestRefused

LOCK = "SELECT status, event_id, generation FROM executions_run WHERE id = %(run_id)s::uuid FOR UPDATE"

# Completed steps are taken over with their outputs; the one that failed or was cancelled starts anew.
# An effect that happened, or of which nobody knows, keeps its key and its frozen request: a receiver that honours
# keys does not act again. A refused or abandoned one gets a new key, since some answer a used key with the stored
# refusal. It happened although the step did not complete when the answer came after the cancel, or was unusable.
REPLAY = """
WITH old AS MATERIALIZED (
  SELECT r.*, v.timeout_seconds FROM executions_run r JOIN workflows_workflowversion v ON v.id = r.version_id
  WHERE r.id = %(run_id)s::uuid),
now AS MATERIALIZED (SELECT clock_timestamp() AS at),
r AS (
  INSERT INTO executions_run (id, event_id, generation, workflow_id, version_id, status, seq, last_at, trace_id,
    replay_of_id, created_at, deadline_at, in_streak)
  SELECT uuid_v7(), event_id, generation + 1, workflow_id, version_id, 'pending', 1, now.at, trace_id,
    id, now.at, now.at + make_interval(secs => timeout_seconds), in_streak
  FROM old, now ON CONFLICT (event_id, generation) DO NOTHING RETURNING id, created_at),
done AS (
  INSERT INTO executions_steprun (run_id, workflow_id, position, key, type, lane, max_attempts, status, fence, attempts,
    lost, lost_alone, quarantined, owner, due_at, rings, reused, output, started_at, finished_at)
  SELECT r.id, s.workflow_id, s.position, s.key, s.type, s.lane, s.max_attempts, 'completed', 0, 0,
    0, 0, false, '', r.created_at, 0, true, s.output, s.started_at, s.finished_at
  FROM r, executions_steprun s WHERE s.run_id = %(run_id)s::uuid AND s.status = 'completed'),
again AS (
  INSERT INTO executions_steprun (run_id, workflow_id, position, key, type, lane, max_attempts, status, fence, attempts,
    lost, lost_alone, quarantined, owner, due_at, rings, reused)
  SELECT r.id, s.workflow_id, s.position, s.key, s.type, s.lane, s.max_attempts, 'ready', 0, 0,
    0, 0, false, '', r.created_at, 0, false
  FROM r, executions_steprun s WHERE s.run_id = %(run_id)s::uuid AND s.status IN ('failed', 'cancelled')
  RETURNING id, position, lane),
kept AS (
  INSERT INTO executions_effect (scope, key, step_run_id, fence, status, request, request_digest, created_at)
  SELECT r.id, e.key, again.id, 0, 'intent', e.request, e.request_digest, r.created_at
  FROM r, again JOIN executions_steprun s ON s.run_id = %(run_id)s::uuid AND s.position = again.position
  JOIN executions_effect e ON e.step_run_id = s.id AND (e.status IN ('unknown', 'intent')
       OR (e.status = 'done' AND e.answer->>'status_code' LIKE '2__'))),
t AS (
  INSERT INTO executions_timelineentry (run_id, seq, type, at, to_status, metadata)
  SELECT r.id, 1, 'run.created', r.created_at, 'pending',
    jsonb_build_object('event_id', old.event_id, 'replay_of', old.id) FROM r, old)
SELECT r.id, (SELECT lane FROM again) FROM r
"""


@sql.retrying_conflicts
def cancel_run(*, run_id: UUID, by: str) -> Run:
    """Stop a run for good. Needs no worker; again on a cancelled run: nothing changes.

    Raises:
        RequestRefused: `run.illegal_transition` when it completed or failed before.
        Run.DoesNotExist: there is no such run.
    """
    with transaction.atomic():
        before = end_run(str(run_id), status=RunStatus.CANCELLED, metadata={"by": by})
        if not before:
            raise Run.DoesNotExist
        if before in (RunStatus.COMPLETED, RunStatus.FAILED):
            raise RequestRefused("run.illegal_transition", f"The run is {before} and cannot be cancelled.")
        if before != RunStatus.CANCELLED:
            audit.record(actor=by, action="run.cancelled", subject=str(run_id))
            transaction.on_commit(_ring_lanes, robust=True)  # its slot is free
    return Run.objects.get(pk=run_id)


@sql.retrying_conflicts
def replay_run(*, run_id: UUID, by: str) -> Run:
    """Start a new run of the same event and version at the step that failed or was cancelled.

    Raises:
        RequestRefused: `run.illegal_transition` unless the run failed or was cancelled; `run.not_latest` when
            the event has a newer run.
        Run.DoesNotExist: there is no such run.
    """
    with transaction.atomic():
        locked = sql.row(LOCK, {"run_id": str(run_id)})
        if locked is None:
            raise Run.DoesNotExist
        status = str(locked[0])
        if status not in (RunStatus.FAILED, RunStatus.CANCELLED):
            raise RequestRefused("run.illegal_transition", f"The run is {status} and cannot be replayed.")
        made = sql.row(REPLAY, {"run_id": str(run_id)})
        if made is None:
            raise RequestRefused("run.not_latest")
        new_run_id, lane = str(made[0]), str(made[1])
        audit.record(actor=by, action="run.replayed", subject=str(run_id), new_run=new_run_id)
        if lane == "fast":
            transaction.on_commit(lambda: bells.ring_advance([new_run_id]), robust=True)
        else:
            transaction.on_commit(lambda: bells.ring_admit(lane), robust=True)
    return Run.objects.get(pk=new_run_id)


def _ring_lanes() -> None:
    for lane in ("http", "ai"):
        bells.ring_admit(lane)
