"""What the steps that write have in common: who it was, and what is told of it."""

from __future__ import annotations

from typing import Any, Protocol

from crm.steps.reading import shape_of
from workflows.shapes import Schema, of_fields
from workflows.step_types import Completed, JsonObject

Author = dict[str, Any]  # of a deed, for the audit trail: `by`, and what stands beside it


class Caller(Protocol):
    """A step of a run: a `StepContext`, or the `ToolContext` of an agent's tool."""

    @property
    def run_id(self) -> str: ...
    @property
    def step_key(self) -> str: ...
    @property
    def trace_id(self) -> str: ...


def author_of(caller: Caller, **more: str) -> Author:
    """Who writes: the run, and which of its steps; of an agent's tool besides that it was one."""
    return {"by": f"run {caller.run_id}", "step": caller.step_key, "trace_id": caller.trace_id, **more}


def written(record: dict[str, Any], *, is_new: bool) -> Completed:
    """A written record as a step's result. The ledger keeps which it was; its fields are in the output."""
    answer = {"type": record["type"], "id": record["id"], "created": is_new}
    return Completed({**record, "created": is_new}, answer=answer)


def written_schema(config: JsonObject) -> Schema:
    """JSON Schema of what `written` gives."""
    return of_fields({**shape_of(config), "created": {"type": "boolean"}})
