"""Admission: the only way from `ready` (or a wait that is over) to `queued`.

It keeps the lane's window and each workflow's own limit, and chooses fairly: the workflow with the least in
flight first, then the oldest step. In flight is counted from the rows each time, so a slot cannot leak.
The lane's row is locked in a statement of its own: counting in the same statement would use a snapshot from
before the wait and overrun the window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from executions.lanes import IN_FLIGHT_OF_WF, OWN_LIMIT, WAITING_WORKFLOWS
from executions.together import Together
from lightfield.kernel import bells, sql
from lightfield.kernel.crashpoint import crashpoint

FEW = 2  # steps at once mean no backlog: a message each, and nobody is asked to wait

# Nobody waits for the disk here: what an admission tells is told again by the sweeper, should a crash of PostgreSQL
# take it back. A claim, which nobody may take back, carries it to the disk.
# A workflow's own limit is over all lanes: once anybody has set one, lanes are admitted to one after the other. An
# admission that began before that publish does not know of it, and keeps to what was published before.
LOCK_LANE = """
SELECT set_config('synchronous_commit', 'off', true) FROM executions_lane
WHERE name = %(lane)s::text OR EXISTS (SELECT 1 FROM workflows_workflowversion WHERE concurrency IS NOT NULL)
ORDER BY name FOR UPDATE
"""

ADMIT = f"""
WITH RECURSIVE {WAITING_WORKFLOWS},
way AS MATERIALIZED (
  SELECT count(*)::int AS flying,
    -- on their way to a worker. One that was rung for again has lost its message, or there is no worker
    (count(*) FILTER (WHERE status = 'queued' AND rings = 0 AND NOT quarantined))::int AS n
  FROM executions_steprun WHERE lane = %(lane)s::text AND status IN ('queued', 'running')),
room AS MATERIALIZED (
  SELECT (SELECT count(*) FROM wf WHERE workflow_id IS NOT NULL)::int AS k, l.per_workflow,
    greatest(0, l.width - way.flying) AS free,
    greatest(0, least(l.width - way.flying,
                      CASE WHEN way.n * 2 <= l.most_queued THEN l.most_queued - way.n ELSE 0 END)) AS n
  FROM executions_lane l, way WHERE l.name = %(lane)s::text),
cand AS (  -- load: what the workflow would have in flight with this step
  SELECT c.id, c.due_at,
    b.n + row_number() OVER (PARTITION BY wf.workflow_id ORDER BY c.due_at, c.id) AS load
  FROM wf CROSS JOIN room CROSS JOIN LATERAL ({IN_FLIGHT_OF_WF}) b
  LEFT JOIN workflows_workflow w ON w.id = wf.workflow_id
  LEFT JOIN workflows_workflowversion v ON v.id = w.active_version_id
  CROSS JOIN LATERAL (
    SELECT s.id, s.due_at FROM executions_steprun s
    WHERE s.lane = %(lane)s::text AND s.status IN ('ready', 'waiting') AND s.held_host IS NULL AND s.workflow_id = wf.workflow_id
      AND s.due_at <= statement_timestamp()
    ORDER BY s.due_at, s.id
    LIMIT greatest(0, least(greatest(room.n, least({FEW} - b.n, room.free)),
                            least(coalesce({OWN_LIMIT}, room.per_workflow), room.per_workflow) - b.n,
                            1 + 2 * room.n / greatest(1, room.k)))) c
  WHERE wf.workflow_id IS NOT NULL),
pick AS MATERIALIZED (  -- a workflow that has next to nothing in flight need not wait until the way is free
  SELECT c.id, c.load FROM (SELECT id, load, row_number() OVER (ORDER BY load, due_at, id) AS place FROM cand) c, room
  WHERE c.place <= room.n OR (c.load <= {FEW} AND c.place <= room.free)),
locked AS MATERIALIZED (
  SELECT s.id, pick.load <= {FEW} AS is_newcomer FROM executions_steprun s JOIN pick USING (id) WHERE s.status || '' IN ('ready', 'waiting')
    AND s.held_host IS NULL
  ORDER BY s.id FOR UPDATE OF s SKIP LOCKED)
UPDATE executions_steprun s SET status = 'queued', rung_at = clock_timestamp(), rings = 0
FROM locked WHERE s.id = locked.id
RETURNING s.id, s.lost, s.quarantined, s.attempts, s.key, locked.is_newcomer, s.workflow_id, (SELECT n FROM room),
  (SELECT 1 + 2 * n / greatest(1, k) FROM room)
"""

BATCH = 8  # steps in one message under backlog: never more than a worker is likely to have threads for
CELL = 16  # steps that lost their worker once share a process; the next loss separates them


@dataclass(frozen=True)
class Admitted:
    """A step on its way to a worker."""

    id: int
    lost: int
    is_quarantined: bool
    attempts: int
    key: str
    is_newcomer: bool = False  # came with steps of others, and its workflow has next to nothing in flight


def admit(lane: str) -> int:
    """Send as many of the lane's steps to its workers as the window and the way hold. Returns how many.

    Threads that want it at the same time do not queue for the lane's lock: one of them does it for all, and those
    that came while it was at it are answered by one more turn.
    """
    (admitted,) = fillers.setdefault(lane, Together(partial(fill_for_all, lane), sql.release))([lane])
    return admitted


def fill_for_all(lane: str, callers: list[str]) -> list[int]:
    """One turn for several callers; the first is told what it admitted, the others that nothing is left."""
    return [fill(lane), *[0] * (len(callers) - 1)]


fillers: dict[str, Together[str, int]] = {}


def fill(lane: str) -> int:
    """Admit in turns, in this thread, until a turn finds no room or no step."""
    total = 0
    while True:
        admitted, is_more_possible = _admit_once(lane)
        if admitted:
            crashpoint("CP-D4")
        ring(lane, admitted)
        total += len(admitted)
        if not is_more_possible:
            return total


@sql.retrying_conflicts
def _admit_once(lane: str) -> tuple[list[Admitted], bool]:
    """One turn, and whether another may admit more: there is room, and a workflow may have had its whole share."""
    found: list[tuple[Any, ...]] = sql.rows_after(LOCK_LANE, ADMIT, {"lane": lane})
    room, share = found[0][7:] if found else (0, 0)
    admitted = [Admitted(*row[:6]) for row in found]
    if len({row[6] for row in found}) == 1:  # nobody to be kept apart from
        admitted = [replace(step, is_newcomer=False) for step in admitted]
    return admitted, bool(found) and share <= len(found) < room


def ring(lane: str, admitted: list[Admitted]) -> None:
    """One message per step at rest, up to 8 steps in one under backlog; quarantined steps go to cells.

    Newcomers do not share a message with a flood's steps: what a worker makes wait, it makes wait together.
    """
    company = [step for step in admitted if not step.is_quarantined]
    _ring_company(lane, [step for step in company if step.is_newcomer])
    _ring_company(lane, [step for step in company if not step.is_newcomer])
    ring_cells(lane, [(step.id, step.lost) for step in admitted if step.is_quarantined])


def _ring_company(lane: str, company: list[Admitted]) -> None:
    size = 1 if len(company) <= FEW else BATCH
    for start in range(0, len(company), size):
        group = company[start : start + size]
        shown = ", ".join(f"{step.key} #{step.id}" for step in group)
        bells.ring_execute(
            lane,
            [step.id for step in group],
            retries=max(step.attempts for step in group),
            shown=f"({shown})",
        )


def ring_cells(lane: str, steps: list[tuple[int, int]]) -> None:
    """Ring for steps that lost a worker: (id, losses). A second loss means a process for itself."""
    together = [step_run_id for step_run_id, lost in steps if lost <= 1]
    for start in range(0, len(together), CELL):
        bells.ring_cell(lane, together[start : start + CELL])
    for step_run_id, lost in steps:
        if lost > 1:
            bells.ring_cell(lane, [step_run_id])
