"""Outcomes as settlements: the entries each one tells and what follows it in the plan. Pure but for the plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from executions import published
from executions.claims import StepInHand
from executions.holds import Hold
from executions.outcomes import Fail, Retry
from executions.settlements import Settlement
from executions.states import AttemptOutcome, RunStatus, StepStatus
from executions.timeline import entry

Entries = list[dict[str, Any]]


def settlement_of(
    step: StepInHand, status: StepStatus, run_status: RunStatus, entries: Entries, **more: Any
) -> Settlement:
    """Of this step, under its fence; `more` are the other fields of a `Settlement`."""
    return Settlement(
        run_id=step.run_id,
        workflow_id=step.workflow_id,
        step_run_id=step.step_run_id,
        lane=step.lane,
        fence=step.fence,
        was=StepStatus(step.status),
        status=status,
        run_status=run_status,
        entries=entries,
        **more,
    )


def following_of(step: StepInHand) -> dict[str, Any] | None:
    """The plan of the step after this one, or None at the end."""
    return published.load(step.version_id).after(step.position)


def skipped_entries(rest: Iterable[dict[str, Any]]) -> Entries:
    return [entry("step.skipped", step=later["key"], after="skipped") for later in rest]


def started_entries(step: StepInHand) -> Entries:
    """For a fast step, whose start is told together with its end."""
    told = [entry("run.started", before="pending", after="running")] if step.run_status == "pending" else []
    before = "ready" if step.attempt == 0 else "waiting"
    return [
        *told,
        entry("step.started", step=step.key, attempt=step.attempt + 1, before=before, after="running"),
    ]


def _facts(error: dict[str, Any]) -> dict[str, Any]:
    return {**error["metadata"], "error_code": error["code"], "message": error["message"]}


def completed(
    step: StepInHand,
    output: dict[str, Any],
    *,
    skip_rest: bool = False,
    told: Entries | None = None,
    **more: Any,
) -> Settlement:
    """The step is done: the next one follows, or the run is complete."""
    version = published.load(step.version_id)
    following = None if skip_rest else version.after(step.position)
    rest = version.rest(step.position) if skip_rest else []
    attempt = _attempt_of(step, more)
    woken = step.status == StepStatus.WAITING and not more.get("opens")
    entries = [
        *(told or []),
        entry(
            "step.completed",
            step=step.key,
            attempt=attempt,
            before="waiting" if woken else "running",
            after="completed",
        ),
        *skipped_entries(rest),
    ]
    if following is None:
        entries.append(entry("run.completed", before="running", after="completed"))
    return settlement_of(
        step,
        StepStatus.COMPLETED,
        RunStatus.RUNNING if following else RunStatus.COMPLETED,
        entries,
        outcome=None if woken else AttemptOutcome.OK,
        output=output,
        next_step=following,
        skipped=rest,
        **more,
    )


def retried(step: StepInHand, retry: Retry, *, told: Entries | None = None, **more: Any) -> Settlement:
    """The attempt failed for now: the slot is free until due_at, the effect stays intended."""
    attempt = _attempt_of(step, more)
    entries = [
        *(told or []),
        entry(
            "step.retrying",
            step=step.key,
            attempt=attempt,
            before="running",
            after="waiting",
            metadata={**_facts(retry.error), "delay_seconds": round(retry.delay_seconds, 3)},
        ),
    ]
    return settlement_of(
        step,
        StepStatus.WAITING,
        RunStatus.WAITING,
        entries,
        outcome=retry.outcome,
        error=retry.error,
        delay_seconds=retry.delay_seconds,
        may_have_happened=retry.outcome == AttemptOutcome.UNKNOWN,
        **more,
    )


def held(step: StepInHand, hold: Hold) -> Settlement:
    """Nothing was sent: the attempt does not count, the slot is free, and the step waits for its host."""
    metadata = {**_facts(hold.error), "seconds": None if hold.host else round(hold.delay_seconds, 3)}
    waiting = entry(
        "step.waiting",
        step=step.key,
        attempt=step.attempt,
        before="running",
        after="waiting",
        metadata=metadata,
    )
    return settlement_of(
        step,
        StepStatus.WAITING,
        RunStatus.WAITING,
        [waiting],
        outcome=AttemptOutcome.HELD,
        error=hold.error,
        delay_seconds=hold.delay_seconds,
        held=True,
        held_host=hold.host,
    )


def failed(step: StepInHand, fail: Fail, *, told: Entries | None = None, **more: Any) -> Settlement:
    """The step is over: every later step is skipped and the run fails with the step's code."""
    rest = published.load(step.version_id).rest(step.position)
    attempt = _attempt_of(step, more)
    entries = [
        *(told or []),
        entry(
            "step.failed",
            step=step.key,
            attempt=attempt,
            before="running",
            after="failed",
            metadata=_facts(fail.error),
        ),
        *skipped_entries(rest),
        entry(
            "run.failed",
            before="running",
            after="failed",
            metadata={"error_code": fail.error["code"], "failed_step": step.key},
        ),
    ]
    return settlement_of(
        step,
        StepStatus.FAILED,
        RunStatus.FAILED,
        entries,
        outcome=fail.outcome,
        error=fail.error,
        effect=fail.effect,
        answer=fail.answer,
        may_have_happened=fail.outcome == AttemptOutcome.UNKNOWN,
        skipped=rest,
        held=fail.outcome == AttemptOutcome.HELD,
        **more,
    )


def asleep(step: StepInHand, seconds: float, *, told: Entries, **more: Any) -> Settlement:
    """A sleep began: its attempt is done, its end is a due_at."""
    attempt = _attempt_of(step, more)
    entries = [
        *told,
        entry(
            "step.waiting",
            step=step.key,
            attempt=attempt,
            before="running",
            after="waiting",
            metadata={"seconds": seconds},
        ),
    ]
    return settlement_of(
        step,
        StepStatus.WAITING,
        RunStatus.WAITING,
        entries,
        outcome=AttemptOutcome.OK,
        delay_seconds=seconds,
        **more,
    )


def _attempt_of(step: StepInHand, more: dict[str, Any]) -> int:
    """The attempt's number; that of a fast step is only opened by its settlement."""
    return step.attempt + 1 if more.get("opens") else step.attempt
