"""Agent steps whose journal says what a test wants: rows as the loop leaves them, without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.utils import timezone

from executions import admission
from executions.agents.figures import STEP_TYPE
from executions.agents.models import AgentTurn, TurnKind
from executions.models import Run
from lightfield.kernel import bells
from lightfield.kernel.errors import PermanentStepError
from tests.bellboy import Bellboy
from tests.scripted import AnyConfig, ScriptedSlow, installed
from tests.staging import a_run, claim, intend, live
from workflows import step_types

LIMITS = {"turns": 10, "tool_calls": 20, "tokens": 100_000, "seconds": 120, "cost": None}
REQUEST: dict[str, Any] = {
    "model": {
        "provider": "openai",
        "name": "gpt-5",
        "base_url": "https://models.example/v1",
        "api_key": None,
    },
    "instructions": ["You keep the records of a shop in order."],
    "prompt": [
        "Find the customer of this payment:\n",
        {"data": {"email": "ada@example.com"}, "from": "trigger"},
    ],
    "output_schema": None,
    "tools": [{"type": "read_records", "entities": ["contact"]}],
    "limits": LIMITS,
    "price": {"input": 1.25, "output": 10},
}
SEARCH = {"entity": "contact", "filters": [{"field": "email", "operator": "is", "value": "ada@example.com"}]}


class ScriptedAgent(ScriptedSlow):
    """A slow step whose frozen request is `request`, whatever its config."""

    lane = "ai"  # type: ignore[assignment]  # of another lane than its base

    def __init__(self) -> None:
        super().__init__()
        self.request: dict[str, Any] = REQUEST

    def freeze(self, config: AnyConfig) -> dict[str, Any]:
        return self.request


@contextmanager
def scripted_agents() -> Iterator[ScriptedAgent]:
    """A step type `ai_agent` that does what its `script` says, in place of the one that is installed."""
    before = step_types.find(STEP_TYPE)
    step_types.unregister(STEP_TYPE)
    try:
        with installed(STEP_TYPE, ScriptedAgent) as scripted:
            yield scripted
    finally:
        if before is not None:
            step_types.register(type(before))


def agent(key: str = "agent") -> dict[str, Any]:
    """A scripted agent step as a definition has it."""
    return {"key": key, "type": STEP_TYPE, "config": {}}


def said(text: str = "", *calls: dict[str, Any], **columns: Any) -> dict[str, Any]:
    """A model's answer. `calls`: {"id", "name", "arguments"}."""
    answer = {
        "text": text,
        "calls": list(calls),
        "finish": "tool_calls" if calls else "stop",
        "raw": {"kept": "by the library"},
    }
    usual = {"input_tokens": 1200, "output_tokens": 80, "cost": "0.0023"}
    return {"kind": TurnKind.MODEL, "name": "gpt-5-2026", "answer": answer, **usual, **columns}


def wants(name: str = "find_records", arguments: Any = None, *, id: str = "c1") -> dict[str, Any]:
    """A call as a model asks for it."""
    return {"id": id, "name": name, "arguments": SEARCH if arguments is None else arguments}


def called(
    name: str = "find_records", arguments: Any = None, answer: Any = None, *, id: str = "c1", **columns: Any
) -> dict[str, Any]:
    """A tool call that is done, or refused: `error_code`."""
    more = {"request": columns.pop("request")} if "request" in columns else {}
    asked = {"id": id, "arguments": SEARCH if arguments is None else arguments, **more}
    told = {"records": [], "count": 0} if answer is None else answer
    return {"kind": TurnKind.TOOL, "name": name, "asked": asked, "answer": told, **columns}


def write_turns(step_run_id: int, key: str, turns: tuple[dict[str, Any], ...], *, fence: int = 1) -> None:
    """The journal of a step, one second for each turn. `"is_open": True`: it was sent and nothing came back yet."""
    now = timezone.now()
    for number, columns in enumerate(turns, start=1):
        word = "turn" if columns["kind"] == TurnKind.MODEL else "call"
        same = sum(one["kind"] == columns["kind"] for one in turns[:number])
        start = now + timedelta(seconds=number - len(turns))
        key_of_turn = f"{key}:{word}_{same}"
        row = {"started_at": start, "finished_at": start + timedelta(seconds=1), **columns}
        if row.pop("is_open", False):
            row |= {"finished_at": None, "answer": None}
        row = {"fence": fence, "attempt": 1, **row}
        AgentTurn.objects.create(step_run_id=step_run_id, number=number, key=key_of_turn, **row)


def playing(
    *turns: dict[str, Any], output: Any = "done", error: Exception | None = None
) -> Callable[..., dict[str, Any]]:
    """A script for `scripted_agents`: write these turns, then end."""

    def script(request: dict[str, Any], context: Any) -> dict[str, Any]:
        write_turns(context.step_run_id, context.idempotency_key, turns, fence=context.fence)
        if error is not None:
            raise error
        return {"output": output, "usage": {}, "tool_calls": []}

    return script


def an_ended_run(bellboy: Bellboy, *steps: dict[str, Any], **columns: Any) -> Run:
    """A run as far as it goes by itself."""
    run = a_run(*steps, **columns)
    bells.ring_advance([str(run.pk)])
    bells.ring_admit("ai")
    bellboy.answer_all()
    run.refresh_from_db()
    return run


def a_run_underway(*turns: dict[str, Any]) -> Run:
    """A run whose agent is at work and has come as far as these turns."""
    run = a_run(agent())
    admission.admit("ai")
    step = claim(live(run).pk)
    intend(step, **REQUEST)
    write_turns(step.step_run_id, step.effect_key, turns, fence=step.fence)
    run.refresh_from_db()
    return run


def a_run_that_tells(bellboy: Bellboy, words: str) -> Run:
    """A failed run whose agent did a bit of everything, saying `words` wherever a model or its data can."""
    found = {"records": [{"id": "r1", "fields": {"first_name": words}}], "count": 1}
    denied = {"code": "ai.permission_denied", "message": f"This step may not do that: {words}"[:300]}
    refused = {"error": denied}
    turns = (
        said(
            f"{words}\nI look for the customer first.", wants(), wants(words[:100], {words: words}, id="c2")
        ),
        called(answer=found),
        called(words[:200], {words: words}, refused, id="c2", error_code="ai.permission_denied"),
        said("", wants("http_request", {"method": "POST", "url": words}, id="c3")),
        called(
            "http_request",
            {"method": "POST", "url": words},
            {"status_code": 200, "body": words},
            id="c3",
            request={"method": "POST", "url": "https://hooks.example/", "headers": {"X-Name": words}},
        ),
        said("\n".join([words] * 40), wants("final_output", {"answer": words}, id="c4"), cost=None),
    )
    request = {
        "instructions": [f"You keep the records of a shop in order. {words} "],
        "prompt": [
            "Find the customer of this payment:\n",
            {"data": {"note": words}, "from": "trigger"},
            "\nwho is on the plan ",
            {"data": "pro", "from": "trigger.plan"},
            f", and say who it is. {words}",
        ],
        "limits": {**LIMITS, "cost": 0.01},
    }
    with scripted_agents() as scripted:
        scripted.request = {**REQUEST, **request}
        scripted.script = playing(*turns, error=PermanentStepError("ai.limit_tokens", words[:200]))
        return an_ended_run(bellboy, agent())
