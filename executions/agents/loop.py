"""Stands in for the loop until it is merged."""

from __future__ import annotations

from executions.agents.values import JsonObject
from workflows.step_types import StepContext


def run(request: JsonObject, context: StepContext) -> JsonObject:
    raise NotImplementedError
