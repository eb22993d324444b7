"""Fast steps: rendered first, then run and written with everything that follows in one transaction each."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from django.db import InterfaceError, OperationalError

from executions import reports, transacting
from executions.attempts import acting, checked_output, context_of, judge, rendered_config, step_type_of
from executions.claims import StepInHand, live_step
from executions.outcomes import Retry
from executions.settlements import Settled, Settlement
from executions.settling import settle
from executions.states import StepStatus
from executions.timeline import entry
from lightfield.kernel import logs
from lightfield.kernel.errors import LostRace, PermanentStepError
from workflows import step_types
from workflows.step_types import Completed, FastStepType, TransactionalStepType, Wait

logger = logging.getLogger(__name__)

FAST_SECONDS = 5.0  # the time limit of a fast step
LONGEST_WAIT_SECONDS = 366 * 86_400.0


def advance(run_ids: Iterable[str]) -> set[str]:
    """Run the fast steps that these runs stand at. Returns the slow lanes that have new `ready` steps."""
    lanes: set[str] = set()
    for run_id in run_ids:
        try:
            if lane := advance_run(run_id):
                lanes.add(lane)
        except LostRace:
            logger.info("run_already_moved", extra={"run_id": run_id})
        except (OperationalError, InterfaceError):
            raise  # the database is away: the sweeper rings for all that is left
        except Exception:
            # One run must not keep the others of its message from moving; the sweeper rings for it again.
            logger.exception("run_not_advanced", extra={"run_id": run_id})
    return lanes


def advance_run(run_id: str) -> str | None:
    """Go on until the run ends, waits, or stands at a slow step; returns that step's lane.

    Each step is one transaction. Dying between two leaves the next step `ready`; the sweeper rings for it.
    """
    step = live_step(run_id)
    while step is not None and _may_run(step):
        settlement, settled = run_and_settle(step)
        following = settlement.next_step
        if following is None:
            return None
        if following["lane"] != "fast":
            return str(following["lane"])
        step = next_in_hand(step, settlement, settled)
    if step is not None and step.lane != "fast" and step.status == StepStatus.READY:
        return step.lane
    return None


def _may_run(step: StepInHand) -> bool:
    """A due wait is asked about in SQL by whoever rang; one that is not due is left alone."""
    if step.lane != "fast":
        return False
    return step.status == StepStatus.READY or (step.status == StepStatus.WAITING and step.is_due)


def run_and_settle(
    step: StepInHand, *, is_claimed: bool = False, worker: str = ""
) -> tuple[Settlement, Settled]:
    """Run one fast step and write what came of it: one transaction, a transactional step's own rows included.

    Raises LostRace; what a transactional step wrote is undone by it.
    """
    step_type = step_types.find(step.type)
    if not isinstance(step_type, TransactionalStepType):
        settlement = outcome_of(step, is_claimed=is_claimed, worker=worker)
        return settlement, settle(settlement)
    transacting.refuse_to_nest()

    def settle_result(result: Completed, noted: dict[str, Any] | None) -> tuple[Settlement, Settled]:
        if isinstance(_checked(result), Wait):
            raise PermanentStepError("step.invalid_output", "A transactional step cannot wait.")
        settlement = _completed(step, result, is_claimed=is_claimed, worker=worker)
        if noted is not None:
            answer = checked_output(result.answer or {})
            settlement = replace(settlement, effect="done", noted=noted, answer=answer)
        return settlement, settle(settlement)

    try:
        with _told_of(step):
            config, context = rendered_config(step), context_of(step, limit_seconds=FAST_SECONDS)
            return transacting.written_with(step, step_type, config, context, settle_result)
    except (LostRace, OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001  whatever a step type raises is an outcome
        settlement = _failure(step, error, is_claimed=is_claimed, worker=worker)
    return settlement, settle(settlement)


def outcome_of(step: StepInHand, *, is_claimed: bool = False, worker: str = "") -> Settlement:
    """Run one fast step that is not transactional and say what came of it. Writes nothing.

    Not claimed, the attempt is opened and closed by the settlement itself.
    """
    if step.status == StepStatus.WAITING and step.last_outcome == "ok":
        return reports.completed(step, {"until": step.due_at.isoformat().replace("+00:00", "Z")})
    try:
        with _told_of(step):
            step_type = step_type_of(step)
            assert isinstance(step_type, FastStepType)
            config, context = rendered_config(step), context_of(step, limit_seconds=FAST_SECONDS)
            with acting(step):
                returned = step_type.execute(config, context)
            result = _checked(returned)
    except Exception as error:  # noqa: BLE001  whatever a step type raises is an outcome
        return _failure(step, error, is_claimed=is_claimed, worker=worker)
    return _completed(step, result, is_claimed=is_claimed, worker=worker)


def _told_of(step: StepInHand) -> AbstractContextManager[None]:
    return logs.bound(run_id=step.run_id, step=step.key, trace_id=step.trace_id)


def _failure(step: StepInHand, error: Exception, *, is_claimed: bool, worker: str) -> Settlement:
    verdict = judge(error, step if is_claimed else step.opened(), was_intended=False)
    logger.info("step_failed", extra={"run_id": step.run_id, "step": step.key, "error": str(error)})
    told, opens = _started(step, is_claimed), not is_claimed
    if isinstance(verdict, Retry):
        return reports.retried(step, verdict, told=told, opens=opens, worker=worker)
    return reports.failed(step, verdict, told=told, opens=opens, worker=worker)


def _completed(step: StepInHand, result: Completed | Wait, *, is_claimed: bool, worker: str) -> Settlement:
    told, opens = _started(step, is_claimed), not is_claimed
    if isinstance(result, Wait):
        return reports.asleep(step, result.seconds, told=told, opens=opens, worker=worker)
    told += _logged(step if is_claimed else step.opened(), result)
    return reports.completed(
        step, result.output, skip_rest=result.skip_rest, told=told, opens=opens, worker=worker
    )


def _started(step: StepInHand, is_claimed: bool) -> reports.Entries:
    """A claim has told the start already."""
    return [] if is_claimed else reports.started_entries(step)


def _checked(result: Completed | Wait) -> Completed | Wait:
    """What a step type returned, if it keeps the contract. Raises PermanentStepError."""
    if isinstance(result, Wait) and 0 <= result.seconds <= LONGEST_WAIT_SECONDS:
        return result
    if not isinstance(result, Completed):
        raise PermanentStepError("step.invalid_output", f"The step returned {result!r}."[:500])
    checked_output(result.output)
    if result.logged is not None:
        checked_output({"logged": result.logged})
    return result


def _logged(step: StepInHand, result: Completed) -> list[dict[str, object]]:
    if result.logged is None:
        return []
    return [entry("step.logged", step=step.key, attempt=step.attempt, metadata={"message": result.logged})]


def next_in_hand(step: StepInHand, settlement: Settlement, settled: Settled) -> StepInHand | None:
    """The step that follows, without asking the database: its context is this one's plus one output."""
    following = settlement.next_step
    if following is None or settled.next_step_run_id is None:
        return None
    return step.followed_by(
        settled.next_step_run_id, following, settlement.output or {}, is_claimed=settled.continues
    )
