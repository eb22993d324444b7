"""What the steps that write have in common: who it was, and what is told of it."""

from __future__ import annotations

from typing import Any

from crm.steps.reading import shape_of
from workflows.shapes import Schema, of_fields
from workflows.step_types import Completed, JsonObject, StepContext


def author_of(context: StepContext) -> dict[str, Any]:
    """Who writes, for the audit trail: the run, and which of its steps."""
    return {"by": f"run {context.run_id}", "step": context.step_key, "trace_id": context.trace_id}


def written(record: dict[str, Any], *, is_new: bool) -> Completed:
    """A written record as a step's result. The ledger keeps which it was; its fields are in the output."""
    answer = {"type": record["type"], "id": record["id"], "created": is_new}
    return Completed({**record, "created": is_new}, answer=answer)


def written_schema(config: JsonObject) -> Schema:
    """JSON Schema of what `written` gives."""
    return of_fields({**shape_of(config), "created": {"type": "boolean"}})
