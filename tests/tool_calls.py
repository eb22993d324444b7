"""An agent's tools without the agent: a step's permissions, a call as a model makes it, and what the model is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from django.db import transaction

from executions.agents import tools
from executions.agents.tools import Tool, ToolContext
from lightfield.kernel.errors import LightfieldError, PermanentStepError, TransientStepError, WriteConflict

Tell = Callable[[str, Any], Any]  # (tool, arguments) -> what the model is told
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
MOST_TRIES = 4


def reads(*entities: str, **more: Any) -> dict[str, Any]:
    return {"type": "read_records", "entities": list(entities), **more}


def writes(entities: str, operations: str) -> dict[str, Any]:
    """Both separated by spaces."""
    return {"type": "write_records", "entities": entities.split(), "operations": operations.split()}


def sends(*hosts: str, **more: Any) -> dict[str, Any]:
    return {"type": "http", "hosts": list(hosts), **more}


def granted(*grants: dict[str, Any]) -> dict[str, Tool]:
    """The tools of a step with these permissions, by name."""
    parsed = [(tools.find(grant["type"]), grant) for grant in grants]
    models = [kind.Grant.model_validate(grant) for kind, grant in parsed if kind is not None]
    assert len(models) == len(grants)
    found = [
        tool
        for kind in tools.all_kinds()
        if (own := [model for model in models if model.type == kind.name])
        for tool in kind.tools(own, models)
    ]
    return {tool.spec.name: tool for tool in found}


def a_context(**more: Any) -> ToolContext:
    given: dict[str, Any] = {
        "run_id": "01890000-0000-7000-8000-000000000001",
        "step_key": "agent",
        "attempt": 1,
        "trace_id": TRACE,
        "key": "run:agent:call_1",
        "deadline": time.monotonic() + 20,
    }
    return ToolContext(**given | more)


def call(tool: Tool, arguments: Any, context: ToolContext | None = None) -> Any:
    """As the engine calls it: what is sent is frozen and kept as JSON first, what writes has a transaction. Raises its errors."""
    context = context or a_context()
    if tool.effect == "sends":
        return tool.call(json.loads(json.dumps(tool.freeze(arguments, context))), context)
    if tool.effect == "reads":
        return tool.call(arguments, context)
    for number in range(1, MOST_TRIES + 1):
        try:
            return _in_one_transaction(tool, arguments, context)
        except WriteConflict as conflict:
            if number == MOST_TRIES:
                raise conflict.otherwise from conflict
    raise AssertionError("unreachable")


def _in_one_transaction(tool: Tool, arguments: Any, context: ToolContext) -> Any:
    """Errors are noted in the same transaction, so it has to be of use after them."""
    with transaction.atomic():
        try:
            return tool.call(arguments, context)
        except PermanentStepError as error:
            with transaction.get_connection().cursor() as cursor:
                cursor.execute("SELECT 1")
            failed = error
    raise failed


def teller(*grants: dict[str, Any], **context: Any) -> Tell:
    """What the model of a step with these permissions is told of a call, errors included; of another tool, that there is none."""
    known = granted(*grants)

    def tell(name: str, arguments: Any) -> Any:
        if name not in known:
            return error_told(PermanentStepError("ai.permission_denied", "There is no such tool here."))
        try:
            return call(known[name], arguments, a_context(**context))
        except (PermanentStepError, TransientStepError) as error:
            return error_told(error)

    return tell


def error_told(error: LightfieldError) -> dict[str, Any]:
    return {"error": error.code, "message": error.message, "metadata": error.metadata}
