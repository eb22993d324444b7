"""The next step's request, frozen while the outcome of the step before it is still to be written (ADR 0011).

So both go into one transaction: outcome, next step, and the next step's intent.
"""

from __future__ import annotations

from typing import Any

from executions import cell_limits, reports
from executions.attempts import digest_of, frozen_request
from executions.claims import StepInHand
from workflows import step_types
from workflows.step_types import SlowStepType


def is_careful(request: dict[str, Any] | None) -> bool:
    """Whether a request that may have been sent must not be sent again: nothing may come between its intent and it."""
    return (request or {}).get("on_unknown") == "fail"


def next_intent(
    step: StepInHand, request: dict[str, Any] | None, output: dict[str, Any]
) -> dict[str, Any] | None:
    """What the step after this one will send after this output: `{"key", "request", "digest"}`, for the ledger.

    None when the request just answered, or the next one, must not be sent twice; when the next type's `freeze` may do
    more than compute; and when freezing fails. The next step then writes its own intent, or tells its own error.
    """
    plan = reports.following_of(step)
    following_type = step_types.find(plan["type"]) if plan else None
    if plan is None or not isinstance(following_type, SlowStepType):
        return None
    if is_careful(request) or not following_type.freezes_early:
        return None
    following = step.followed_by(0, plan, output, is_claimed=True)
    try:
        frozen = frozen_request(following)
    except Exception as error:  # noqa: BLE001  whatever a step type raises is an outcome, of that step
        cell_limits.end_cell_if_out_of_memory(error)
        return None
    if is_careful(frozen):
        return None
    return {"key": following.effect_key, "request": frozen, "digest": digest_of(frozen)}
