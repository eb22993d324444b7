"""Ending a run from outside: cancelled by a person, or by its own timeout. No worker is needed for either."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from executions import published, reports
from executions.claims import StepInHand, live_step
from executions.settlements import Settlement
from executions.settling import settle
from executions.states import LIVE_RUN, AttemptOutcome, RunStatus, StepStatus
from executions.timeline import entry
from lightfield.kernel import sql
from lightfield.kernel.catalogue import CATALOGUE

LOCK_RUN = """
SELECT status, coalesce(deadline_at < clock_timestamp(), false) FROM executions_run
WHERE id = %(run_id)s::uuid FOR UPDATE
"""

# Each a statement of its own. After the run's lock: it must see a step inserted by whoever held that. And after
# the step's lock: intents are committed under the step's alone.
LOCK_STEP = """
SELECT id FROM executions_steprun
WHERE run_id = %(run_id)s::uuid AND finished_at IS NULL FOR UPDATE
"""
OPEN_ATTEMPT = """
SELECT s.status = 'running' AND s.lease_expires_at > clock_timestamp(),
  (SELECT a.intent_at IS NOT NULL FROM executions_attempt a
   WHERE a.step_run_id = s.id AND a.number = s.attempts AND a.outcome IS NULL)
FROM executions_steprun s WHERE s.id = %(step_run_id)s::bigint
"""

# The only write that a worker may make after losing its step, and only when the step has ended: what truly
# became of the request that was already on its way.
LATE_TRUTH = """
UPDATE executions_effect e SET status = 'done', answer = %(answer)s::jsonb, decided_at = clock_timestamp()
FROM executions_steprun s WHERE e.step_run_id = %(step_run_id)s::bigint AND e.fence = %(fence)s::int
  AND e.decided_at IS NULL AND s.id = e.step_run_id AND s.status IN ('cancelled', 'failed') RETURNING e.id
"""


@sql.retrying_conflicts
def end_run(run_id: str, *, status: RunStatus, metadata: dict[str, Any]) -> str:
    """Move a live run to `cancelled` (by a person) or `failed` (`run.timeout`). Returns the status it had before.

    A run that is not over its deadline is not failed, whoever asks: messages may be forged.
    A step that runs under a live lease may still send the one request that it intended: its effect is left
    undecided for it, or for the sweep once the lease is over.
    """
    with transaction.atomic():
        found = sql.row(LOCK_RUN, {"run_id": run_id})
        before, is_overdue = (str(found[0]), found[1]) if found else ("", False)
        if before in LIVE_RUN and (is_overdue or status == RunStatus.CANCELLED):
            sql.rows(LOCK_STEP, {"run_id": run_id})
            step = live_step(run_id)
            assert step is not None  # a live run has exactly one live step
            found = sql.row(OPEN_ATTEMPT, {"step_run_id": step.step_run_id})
            assert found is not None
            is_held, was_intended = found
            # No intent can follow: it would need this step's lock and the fence that is raised here.
            may_still_send = bool(is_held and was_intended)
            settle(
                _ended(
                    step,
                    status,
                    may_still_send=may_still_send,
                    was_intended=was_intended,
                    metadata=metadata,
                )
            )
    return before


def _ended(
    step: StepInHand,
    status: RunStatus,
    *,
    may_still_send: bool,
    was_intended: bool | None,
    metadata: dict[str, Any],
) -> Settlement:
    rest = published.load(step.version_id).rest(step.position)
    is_cancel = status == RunStatus.CANCELLED
    after = StepStatus.CANCELLED if is_cancel else StepStatus.FAILED
    code = "run.cancelled" if is_cancel else "run.timeout"
    error = {
        "code": code,
        "message": CATALOGUE[code].meaning,
        "retryable": False,
        "metadata": {"attempt": step.attempt} if step.attempt else {},
    }
    outcome = None
    if was_intended is not None:  # an attempt is open
        outcome = AttemptOutcome.UNKNOWN if was_intended else AttemptOutcome.CANCELLED
    return reports.settlement_of(
        step,
        after,
        status,
        [
            _step_ended(step, after, code),
            *reports.skipped_entries(rest),
            entry(
                f"run.{status.value}",
                before="pending" if step.run_status == "pending" else "running",
                after=status.value,
                metadata={"error_code": code, **metadata},
            ),
        ],
        outcome=outcome,
        raises_fence=True,
        error=None if is_cancel else error,
        effect=None if may_still_send else "by_attempts",
        may_have_happened=bool(was_intended),
        skipped=rest,
        keeps_lease=may_still_send,
    )


def _step_ended(step: StepInHand, after: StepStatus, code: str) -> dict[str, Any]:
    """The timeline's entry. A step that no attempt has begun was told as ready, and one between two attempts as waiting."""
    if step.status in ("ready", "queued") and step.attempt == 0:
        before = "ready"
    else:
        before = "running" if step.status == "running" else "waiting"
    return entry(
        f"step.{after.value}",
        step=step.key,
        attempt=step.attempt or None,
        before=before,
        after=after.value,
        metadata={"error_code": code},
    )


def tell_late_truth(step: StepInHand, answer: dict[str, Any]) -> bool:
    """The step was ended while its request was out, and the answer came: the effect is done, not unknown."""
    params = {"step_run_id": step.step_run_id, "fence": step.fence, "answer": sql.json(answer)}
    return bool(sql.rows(LATE_TRUTH, params))
