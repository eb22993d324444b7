"""Cells: processes of their own for steps that lost their worker.

Whoever dies with a worker is a suspect: in a worker of hundreds of threads one killer step would otherwise be
charged to all its neighbours. Suspects run in processes forked for them: after the first loss several together,
after the second each alone. Only losses alone count against a step, and only those that the worker saw: a cell
that died together with its worker may have done nothing wrong. A cell's death is known at once, so its steps need
not wait for their leases to run out. Why so: docs/adr/0005-cells-for-lost-steps.md.
"""

from __future__ import annotations

import itertools
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db import transaction

from executions import admission, claims, engine, reports, worker
from executions.cell_limits import kernel_oom_kills
from executions.cell_line import CellLine, Order
from executions.claims import StepInHand
from executions.leases import keeper, worker_name
from executions.outcomes import Fail, judge_lost
from executions.settlements import Settlement
from executions.settling import settle
from executions.states import AttemptOutcome
from lightfield.kernel import bells, sql
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import LostRace

logger = logging.getLogger(__name__)

AT_ONCE = 12  # cells of one worker: each has a database connection or two, and there are 100
PATIENCE_SECONDS = 30.0  # for a place among them; bells are rung again after 5 to 60 s anyway
LONGEST_SECONDS = 700.0  # the longest step may take 600; a cell that takes longer has lost its own watchdog
WITNESS_SECONDS = 0.5  # a worker that outlives its killed cell by this much has seen the cell's own death
ENGINE_FAILED = 70  # a cell's exit code: an error that was none of its steps'
_places = threading.BoundedSemaphore(AT_ONCE)
_numbers = itertools.count(1)
_ids_underway: set[int] = set()
_ids_lock = threading.Lock()
line = CellLine()

DUE = f"""
SELECT s.id FROM executions_steprun s
WHERE s.id = ANY(%(ids)s::bigint[]) AND s.lane = %(lane)s::text AND {claims.IN_CELL} ORDER BY s.id
"""

SUSPECTS = f"""
SELECT s.id, s.status = 'running', s.lost, s.lost_alone, coalesce(a.alone AND a.witnessed, false),
  a.intent_at IS NOT NULL, coalesce(f.request->>'on_unknown', 'retry_same_key'),
  (SELECT count(*) FROM executions_attempt x WHERE x.step_run_id = s.id AND x.number > s.attempts - 3 AND x.alone
     AND (x.outcome IS NULL OR x.outcome = 'lost'))
FROM executions_steprun s LEFT JOIN executions_attempt a ON a.step_run_id = s.id AND a.number = s.attempts
LEFT JOIN executions_effect f ON f.step_run_id = s.id AND f.decided_at IS NULL
WHERE s.id = ANY(%(ids)s::bigint[]) AND s.run_id = ANY(%(locked)s::uuid[]) AND {claims.IN_CELL}
ORDER BY s.run_id FOR UPDATE OF s
"""

# Only for steps whose owner is known to have ended: it has been waited for. Every claim adds a token to
# its owner's name.
END_LEASES = """
WITH m AS MATERIALIZED (
  SELECT id, attempts, fence FROM executions_steprun
  WHERE id = ANY(%(ids)s::bigint[]) AND status || '' = 'running'
    AND (owner = %(owner)s::text OR starts_with(owner, %(owner)s::text || '#'))
  ORDER BY run_id FOR UPDATE SKIP LOCKED),
a AS (
  UPDATE executions_attempt a SET witnessed = true FROM m
  WHERE %(died)s::bool AND a.step_run_id = m.id AND a.number = m.attempts AND a.fence = m.fence AND a.outcome IS NULL)
UPDATE executions_steprun s SET lease_expires_at = clock_timestamp() - interval '1 microsecond'
FROM m WHERE s.id = m.id RETURNING s.id, s.lost
"""


def run_in_cell(ids: list[int], lane: str) -> None:
    """Have a cell run these steps and wait for its end, after waiting for a place.

    Bells are rung again while one waits: whatever this process has in a cell or about to be is skipped, and by the
    time there is a place another worker may have done the work.
    """
    sql.release()
    name = f"{worker_name()}:cell:{next(_numbers) % 100_000}"
    due: list[int] = []
    code: int | None = 0
    oom_kills_before = kernel_oom_kills()
    with _underway(
        ids[: admission.CELL]
    ) as ours:  # a bell for more was forged; a cell has threads for no more
        if not ours or not _places.acquire(timeout=PATIENCE_SECONDS):
            return  # the sweeper rings again
        try:
            due = [found[0] for found in sql.rows(DUE, {"ids": ours, "lane": lane})]
            sql.release()
            if due:
                code = line.run(Order(name, lane, tuple(due), LONGEST_SECONDS))
        finally:
            _places.release()
    if code is None:
        logger.warning("cell_end_unknown", extra={"step_run_ids": due})
    elif due and code == -signal.SIGKILL and kernel_oom_kills() > oom_kills_before:
        # The machine was short of memory, and cells are the first to go. That says nothing about the steps in this one.
        logger.warning("cell_ended_by_kernel", extra={"step_run_ids": due})
    elif due:
        _see_off(due, lane, name, code)


@contextmanager
def _underway(ids: list[int]) -> Iterator[list[int]]:
    """Those of `ids` that this process has in no cell yet; inside the block it has."""
    with _ids_lock:
        ours = [step_run_id for step_run_id in ids if step_run_id not in _ids_underway]
        _ids_underway.update(ours)
    try:
        yield ours
    finally:
        with _ids_lock:
            _ids_underway.difference_update(ours)


def _see_off(ids: list[int], lane: str, name: str, code: int) -> None:
    if code == ENGINE_FAILED:
        # Another cell would fail at once in the same way: the leases are the pause before it.
        logger.warning("cell_end_unknown", extra={"step_run_ids": ids, "returncode": code})
        return
    if code == -signal.SIGKILL:
        # Whoever kills a container kills its processes one by one: be sure not to be the next before bearing witness.
        time.sleep(WITNESS_SECONDS)
    if code != 0:
        logger.warning("cell_died", extra={"returncode": code, "step_run_ids": ids})
    note_end(ids, lane, name, died=code != 0)


def note_end(ids: list[int], lane: str, name: str, *, died: bool) -> None:
    """The cell of this name has ended: what it still held need not wait for its leases.

    `died`: by a signal or an error, and this process saw it; only then may the loss count against a step. A cell
    that ended in order and still holds something could not write its outcome.
    """
    left = sql.rows(END_LEASES, {"ids": ids, "owner": name, "died": died})
    admission.ring_cells(lane, [(step_run_id, lost + 1) for step_run_id, lost in left])


def run_here(ids: list[int], lane: str) -> None:
    """A cell's whole work: give up what may not be tried again, and run the rest."""
    if lane == "fast":
        _run_fast(ids)
    else:
        worker.execute(ids, claim=claim, in_cell=True)


def _run_fast(ids: list[int]) -> None:
    """One after the other, under leases that are kept and a watchdog that ends this process when one hangs."""
    claimed_at = time.monotonic()
    steps = claim(ids, worker=worker_name())
    limit = engine.FAST_SECONDS * len(steps)
    holds = [
        keeper.hold(step.step_run_id, step.fence, claimed_at=claimed_at, limit_seconds=limit)
        for step in steps
    ]
    for step, hold in zip(steps, holds, strict=True):
        try:
            settlement, settled = engine.run_and_settle(step, is_claimed=True, worker=worker_name())
        except LostRace:
            logger.info("step_lost_to_another", extra={"step_run_id": step.step_run_id})
        else:
            if engine.next_in_hand(step, settlement, settled) is not None:
                bells.ring_advance([step.run_id])
        finally:
            keeper.let_go(hold)


@sql.retrying_conflicts
def claim(ids: list[int], *, worker: str, owner: str = "") -> list[StepInHand]:
    """Judge these suspects, give up those that may not be tried again, and take the others: one transaction.

    In two, a cell that is stopped in between would take a step by a judgement of before. Meanwhile another cell,
    or the owner who had only seemed dead, may have sent what must not be sent twice; the latter under the fence
    that was judged, so that comparing fences would not be enough.
    """
    with transaction.atomic():
        locked = claims.lock_runs(ids)
        left = _judged(ids, locked) if locked else []
        return claims.take(left, locked, claims.IN_CELL, worker=worker, owner=owner, alone=len(left) == 1)


def _judged(ids: list[int], locked: list[Any]) -> list[int]:
    """End the steps among `ids` that lost too many workers, or one that may have sent what must not be repeated.

    Returns those that may be tried again: only steps that were looked at here. One whose run is locked by
    somebody else, or whose lease runs out a moment later, must not be claimed without having been judged.
    """
    left: list[int] = []
    suspects = sql.rows(SUSPECTS, {"ids": ids, "locked": locked})
    for step_run_id, was_running, lost, lost_alone, to_blame, was_intended, on_unknown, last in suspects:
        verdict = judge_lost(
            lost=lost + 1,
            lost_alone=lost_alone + int(to_blame),
            lost_last_alone=last,
            was_intended=was_intended,
            on_unknown=on_unknown,
        )
        if was_running and verdict.gives_up is not None:
            (step,) = claims.in_hand([step_run_id])
            settle(_given_up(step, verdict.gives_up, to_blame=to_blame, was_intended=was_intended))
        else:
            left.append(step_run_id)
    return left


def _given_up(step: StepInHand, code: str, *, to_blame: bool, was_intended: bool) -> Settlement:
    error = {
        "code": code,
        "message": CATALOGUE[code].meaning,
        "retryable": False,
        "metadata": {"attempt": step.attempt, "lost": step.lost + 1},
    }
    return replace(
        reports.failed(step, Fail(error, AttemptOutcome.LOST, "by_attempts")),
        may_have_happened=was_intended,
        raises_fence=True,
        lost=True,
        lost_alone=to_blame,
    )
