"""One attempt of a step, without its bookkeeping: render, freeze, send, and what the error means."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from executions import cell_limits, published
from executions.claims import StepInHand
from executions.egress.breaker import HELD
from executions.outcomes import Fail, Retry, decide
from lightfield.kernel import strict_json
from lightfield.kernel.errors import PermanentStepError, RequestRefused
from triggers.causes import Cause, acting_for
from triggers.records.modes import telling_cause
from workflows import data_text, step_types
from workflows.expressions import render_config
from workflows.retry_policy import RetryPolicy
from workflows.step_types import AnyStepType, SlowStepType, StepContext

LARGEST_REQUEST = 2 << 20  # bytes: a body of 1 MiB, escaped


def step_type_of(step: StepInHand) -> AnyStepType:
    """Raises PermanentStepError when the app that brought the type was removed."""
    found = step_types.find(step.type)
    if found is None:
        raise PermanentStepError("config.missing_step_type", f"Step type {step.type!r} is not installed.")
    return found


def rendered_config(step: StepInHand) -> Any:
    """The step's config with its templates filled in and every field checked. Raises PermanentStepError."""
    spec = published.load(step.version_id).step(step.position)
    step_type = step_type_of(step)
    rendered = render_config(spec.config, names_of(step), data_text.slots_of(step_type.Config))
    return step_types.load_config(step_type, rendered)


def frozen_request(step: StepInHand) -> dict[str, Any]:
    """What a slow step sends: rendered and fixed, for every attempt the same. Raises what the step type raises."""
    step_type = step_type_of(step)
    assert isinstance(step_type, SlowStepType)
    config = rendered_config(step)
    with acting(step):
        request = step_type.freeze(config)
    return checked_request(request)


def names_of(step: StepInHand) -> dict[str, Any]:
    """What templates may refer to."""
    return {
        **step.outputs,
        "trigger": step.payload,
        "run": {"id": step.run_id, "trace_id": step.trace_id},
        "workflow": {"id": step.workflow_id, "name": step.workflow_name, "version": step.version_number},
    }


def context_of(step: StepInHand, *, limit_seconds: float, **more: Any) -> StepContext:
    return StepContext(
        run_id=step.run_id,
        step_key=step.key,
        attempt=step.attempt,
        trace_id=step.trace_id,
        idempotency_key=step.effect_key,
        step_run_id=step.step_run_id,
        fence=step.fence,
        is_replay=step.is_replay,
        is_retry=step.used_attempts > 1,
        held_for=step.error_code if step.error_code in HELD else None,
        deadline=time.monotonic() + limit_seconds,
        **more,
    )


@contextmanager
def acting(step: StepInHand) -> Iterator[None]:
    """Around a step type's own code and nothing else: what it changes was caused by this run."""
    run_id, workflow_id = UUID(step.run_id), UUID(step.workflow_id)
    with acting_for(Cause(run_id, workflow_id, step.trace_id, step.depth)), telling_cause():
        yield


def digest_of(request: dict[str, Any]) -> str:
    """sha256 of the request's canonical JSON, in hex."""
    return hashlib.sha256(strict_json.canonical(request).encode()).hexdigest()


def checked_request(request: dict[str, Any]) -> dict[str, Any]:
    """What goes into the ledger with the requests of other runs must not spoil theirs. Raises PermanentStepError."""
    try:
        strict_json.check(request, max_bytes=LARGEST_REQUEST)
    except RequestRefused as error:
        raise PermanentStepError(
            "config.invalid", f"The request cannot be kept: {error.message}", cause=error.code
        ) from error
    return request


def checked_output(output: dict[str, Any]) -> dict[str, Any]:
    """A step type's output must be JSON that PostgreSQL keeps and every reader can read. Raises PermanentStepError."""
    if not isinstance(output, dict):
        kind = type(output).__name__
        raise PermanentStepError(
            "step.invalid_output", f"The step's output is {kind}, not an object.", answered=True
        )
    try:
        strict_json.check(output)
    except RequestRefused as error:
        raise PermanentStepError(
            "step.output_too_large" if error.code in strict_json.SIZE_CODES else "step.invalid_output",
            f"The step's output cannot be kept: {error.message}",
            answered=True,
            cause=error.code,
            **{
                name: value for name, value in output.items() if name == "status_code"
            },  # the far side has acted
        ) from error
    return output


def judge(error: Exception, step: StepInHand, *, was_intended: bool) -> Retry | Fail:
    """What an error of this attempt leads to, by the step's own retry settings. In a cell, no memory ends the cell."""
    cell_limits.end_cell_if_out_of_memory(error)
    spec = published.load(step.version_id).step(step.position)
    request = step.request or {}
    return decide(
        error,
        attempt=step.attempt,
        used_attempts=step.used_attempts,
        policy=RetryPolicy.from_spec(spec.retry),
        on_unknown=request.get("on_unknown", "retry_same_key"),
        was_intended=was_intended,
        random=random.random,
    )
