"""What simulated worlds run: workflows of every shape, and step types whose answers the adversary chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

from executions.published import Published
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from tests.scripted import ScriptedFast, ScriptedSlow, installed
from tests.simulation.rows import Flow
from workflows.definitions import Definition, parse_definition
from workflows.step_types import Completed
from workflows.validation import plan_of

Ask = Callable[[str, Any], str]  # (of what kind, context) → the name of an answer

SLOW_ANSWERS: dict[str, Exception | None] = {
    "ok": None,
    "refused": TransientStepError("http.unavailable", sent=True, answered=True, status_code=503),
    "unknown": TransientStepError("http.timeout", sent=True),
    "not sent": TransientStepError("http.connect_failed", sent=False),
    "permanent": PermanentStepError("http.client_error", sent=True, answered=True, status_code=400),
    "broken": ZeroDivisionError("a step type with a fault"),
}
FAST_ANSWERS: dict[str, Exception | None] = {
    "ok": None,
    "refused": TransientStepError("step.unexpected", "not now"),
    "permanent": PermanentStepError("config.invalid", "never"),
}


def _call(key: str, type: str = "call", **config: Any) -> dict[str, Any]:
    retry = {"max_attempts": config.pop("tries", 3), "base_seconds": 2.0, "cap_seconds": 60.0}
    return {"key": key, "type": type, "config": config, "retry": retry}


def _gate(right: int) -> dict[str, Any]:
    return {
        "key": "gate",
        "type": "condition",
        "config": {"left": "{{ trigger.n }}", "operator": "gt", "right": right},
    }


NAP = {"key": "nap", "type": "sleep", "config": {"seconds": 90}}
WORK = _call("work", "work")

# name → steps, settings. Lanes are http for `call`, ai for `think`, fast for the rest.
SHAPES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "one": ([_call("one")], {}),
    "chain": ([_call("one"), _call("two"), _call("three")], {}),
    "one try": ([_call("one", tries=1), WORK], {}),
    "careful": ([_call("one", on_unknown="fail"), _call("two", on_unknown="fail")], {}),
    "two lanes": ([_call("one"), _call("two", "think"), _call("three")], {}),
    "mixed": ([WORK, _call("one"), NAP, _call("two"), WORK | {"key": "again"}], {"concurrency": 1}),
    "gated": ([_gate(5), NAP, _call("one")], {}),
    "fast": ([WORK, WORK | {"key": "again"}], {}),
    "in a hurry": ([NAP, _call("one"), _call("two")], {"timeout_seconds": 200}),
    "broken": ([], {}),
}


STARTS_ITSELF = "fast"  # its own changes start it again


def definition_of(name: str) -> dict[str, Any]:
    steps, settings = SHAPES[name]
    trigger = {"type": "webhook", "config": {"signature": {"scheme": "none"}}}
    return {"schema": 1, "name": name, "trigger": trigger, "steps": steps, "settings": settings}


@cache
def parsed(name: str) -> Definition:
    return parse_definition(definition_of(name))


def flows() -> list[Flow]:
    """New rows of all workflows. Ids are the same in every world."""
    return [replace(flow) for flow in _planned()]


@cache
def _planned() -> list[Flow]:
    with step_types(lambda kind, context: "ok"):  # a plan knows the lanes of its types
        return [_flow(number, name) for number, name in enumerate(SHAPES, start=1)]


def _flow(number: int, name: str) -> Flow:
    settings = parsed(name).settings
    return Flow(
        id=str(UUID(int=(1 << 120) + number)),
        name=name,
        version_id=number,
        version_number=1,
        trigger_id=number,
        shard=number % 2,
        plan=plan_of(parsed(name)),
        concurrency=settings.concurrency,
        timeout_seconds=settings.timeout_seconds,
        own_changes=name == STARTS_ITSELF,
    )


def published(flow: Flow) -> Published:
    return Published(parsed(flow.name), flow.plan)


@contextmanager
def step_types(ask: Ask) -> Iterator[None]:
    """Install `call`, `think` and `work`; each asks what it meets this time."""

    def send(request: dict[str, Any], context: Any) -> dict[str, Any]:
        if error := SLOW_ANSWERS[ask("send", context)]:
            raise error
        return {"status_code": 200}

    def run(config: Any, context: Any) -> Completed:
        if error := FAST_ANSWERS[ask("work", context)]:
            raise error
        return Completed({"worked": True}, logged="worked")

    with ExitStack() as stack:
        for name, lane in (("call", "http"), ("think", "ai")):
            stack.enter_context(installed(name, ScriptedSlow, lane=lane)).script = send
        stack.enter_context(installed("work", ScriptedFast)).script = run
        yield
