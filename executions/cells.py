"""Cells: processes of their own for steps that lost their worker.

Whoever dies with a worker is a suspect: in a worker of hundreds of threads one killer step would otherwise be
charged to all its neighbours. Suspects run in a child process: after the first loss several together, after
the second each alone. Only losses alone count against a step. A child's death is known at once, so its steps
need not wait for their leases to run out.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace

from django.conf import settings
from django.db import transaction

from executions import admission, claims, engine, reports, worker
from executions.claims import StepInHand
from executions.leases import worker_name
from executions.outcomes import Fail, judge_lost
from executions.settling import Settlement, settle
from executions.states import AttemptOutcome
from lightfield.kernel import bells, sql
from lightfield.kernel.catalogue import CATALOGUE

logger = logging.getLogger(__name__)

AT_ONCE = 6  # child processes of one worker
PATIENCE_SECONDS = 20.0  # for a place among them; bells are rung again after 5 to 60 s anyway
_places = threading.BoundedSemaphore(AT_ONCE)

EXPIRED = """
SELECT s.id, s.lost_alone, a.alone, a.intent_at IS NOT NULL, coalesce(f.request->>'on_unknown', 'retry_same_key')
FROM executions_steprun s JOIN executions_attempt a ON a.step_run_id = s.id AND a.number = s.attempts
LEFT JOIN executions_effect f ON f.step_run_id = s.id AND f.status = 'intent'
WHERE s.id = ANY(%(ids)s::bigint[]) AND s.run_id = ANY(%(locked)s::uuid[]) AND s.status = 'running'
  AND s.lease_expires_at < clock_timestamp() ORDER BY s.run_id FOR UPDATE OF s
"""

STILL_DUE = (
    f"SELECT 1 FROM executions_steprun s WHERE s.id = ANY(%(ids)s::bigint[]) AND ({claims.IN_CELL}) LIMIT 1"
)

# Only for steps whose owner is known to be dead: the child has been waited for.
END_LEASES = """
UPDATE executions_steprun s SET lease_expires_at = clock_timestamp() - interval '1 microsecond'
FROM (SELECT id FROM executions_steprun WHERE id = ANY(%(ids)s::bigint[]) AND status = 'running'
        AND owner = %(owner)s::text ORDER BY run_id FOR UPDATE SKIP LOCKED) m
WHERE s.id = m.id RETURNING s.id, s.lost
"""


def run_in_child(ids: list[int], lane: str) -> None:
    """Start a child for these steps and wait for it, after waiting for a place.

    Bells are rung again while one waits: by the time there is a place, another child may have done the work.
    """
    sql.release()
    if not _places.acquire(timeout=PATIENCE_SECONDS):
        return  # the sweeper rings again
    try:
        if not sql.rows(STILL_DUE, {"ids": ids}):
            return
        _start_child(ids, lane)
    finally:
        _places.release()


def _start_child(ids: list[int], lane: str) -> None:
    name = f"{worker_name()}:cell:{threading.get_native_id()}"
    command = [sys.executable, "-m", "django", "run_cell", "--lane", lane, "--name", name, *map(str, ids)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "lightfield.settings", "LIGHTFIELD_POOL_SIZE": "2"}
    sql.release()
    child = subprocess.run(command, env=environment, cwd=settings.BASE_DIR, check=False)
    if child.returncode != 0:
        logger.warning("cell_died", extra={"returncode": child.returncode, "step_run_ids": ids})
        ended = sql.rows(END_LEASES, {"ids": ids, "owner": name})
        admission.ring_cells(lane, [(step_run_id, lost + 1) for step_run_id, lost in ended])


def run_here(ids: list[int], lane: str) -> None:
    """The child's whole work: give up what may not be tried again, then run the rest."""
    left = give_up_exhausted(ids)
    if not left:
        return
    if lane != "fast":
        worker.execute(left, in_cell=True)
        return
    for step in claims.claim(left, worker=worker_name(), in_cell=True):
        settlement = engine.outcome_of(step, is_claimed=True, worker=worker_name())
        settled = settle(settlement)
        following = engine.next_in_hand(step, settlement, settled)
        if following is not None:
            bells.ring_advance([step.run_id])


@sql.retrying_conflicts
def give_up_exhausted(ids: list[int]) -> list[int]:
    """End the steps among `ids` that lost too many workers, or one that may have sent what must not be repeated.

    Returns the other ids.
    """
    given_up: set[int] = set()
    with transaction.atomic():
        locked = [found[0] for found in sql.rows(claims.LOCK_RUNS, {"ids": ids})]
        expired = sql.rows(EXPIRED, {"ids": ids, "locked": locked}) if locked else []
        for step_run_id, lost_alone, was_alone, was_intended, on_unknown in expired:
            lost = judge_lost(
                lost_alone=lost_alone, was_alone=was_alone, was_intended=was_intended, on_unknown=on_unknown
            )
            if lost.gives_up is not None:
                (step,) = claims.in_hand([step_run_id])
                settle(_given_up(step, lost.gives_up, was_alone=was_alone, was_intended=was_intended))
                given_up.add(step_run_id)
    return [step_run_id for step_run_id in ids if step_run_id not in given_up]


def _given_up(step: StepInHand, code: str, *, was_alone: bool, was_intended: bool) -> Settlement:
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
        lost_alone=was_alone,
    )
