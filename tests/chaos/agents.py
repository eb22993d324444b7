"""Agents in the workload: two workflows that differ in their provider alone, and the model behind both, which keeps books.

An agent looks for an account, upserts it (runs meet at forty), makes a note that is named after its run, sends a request to the
sink, and gives its output. The model is a script; now and then it refuses the first request for an answer.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

from lightfield.local.scripted_model import ScriptedModel
from lightfield.local.scripted_shapes import Conversation

POINTS = ("CP-A1", "CP-A2")
KEY = "agent"  # of the step
TURNS, CALLS = 3, 4
FLAKY = 0.05  # of answers whose first request is refused
SLOWEST = 0.15  # seconds
PROVIDERS = ("openai", "anthropic")
RETRY = {"max_attempts": 10, "base_seconds": 0.2, "cap_seconds": 2}
COMPANY, TITLE, RUN = ({"$find": rf"{name}: <[^>]+>([^<]+)<"} for name in ("Company", "Note", "Run"))


WEIGHTS = {f"agent_{provider}": 6 for provider in PROVIDERS}  # how often each is drawn, beside the others


def definitions(sink: str, model: str) -> dict[str, list[dict[str, Any]]]:
    return {f"agent_{provider}": [_step(provider, sink, model)] for provider in PROVIDERS}


def _step(provider: str, sink: str, model: str) -> dict[str, Any]:
    note = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}
    config = {
        "model": f"{provider}:scripted",
        "base_url": f"{model}/v1",
        "prompt": 'Company: {{ trigger.number | modulo: 40 | prepend: "Chaos agent " }}\n'
        'Note: {{ run.id | append: ":agent" }}\nRun: {{ run.id }}',
        "output_schema": {**note, "additionalProperties": False},
        "tools": [
            {"type": "read_records", "entities": ["account", "note"]},
            {"type": "write_records", "entities": ["account"], "operations": ["upsert"]},
            {"type": "write_records", "entities": ["note"], "operations": ["create"]},
            {"type": "http", "hosts": [sink.removeprefix("http://")], "methods": ["POST"]},
        ],
    }
    return {"key": KEY, "type": "ai_agent", "config": config, "retry": RETRY}


def _call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def _script(sink: str) -> list[list[dict[str, Any]]]:
    sought = [{"field": "name", "operator": "is", "value": COMPANY}]
    body = {"number": RUN, "step": "asked"}
    return [
        [
            _call("find_records", entity="account", filters=sought),
            _call("upsert_record", entity="account", match={"name": COMPANY}, fields={"headcount": RUN}),
        ],
        [
            _call("create_record", entity="note", fields={"title": TITLE, "account": {"$result": "2.id"}}),
            _call("http_request", method="POST", url=f"{sink}/keys/slow-100", json=body),
        ],
        [_call("final_output", note={"$result": "3.id"})],
    ]


class Script:
    """What the model answers; how fast, and whether at the first request, the seed says."""

    def __init__(self, seed: int, sink: str) -> None:
        self.seed = seed
        self.turns = _script(sink)

    def __call__(self, conversation: Conversation) -> dict[str, Any]:
        drawn = random.Random(f"{self.seed}:{conversation.texts[0]}:{conversation.turn}")
        said = {
            "calls": self.turns[min(conversation.turn, TURNS) - 1],
            "after_seconds": drawn.uniform(0, SLOWEST),
        }
        return {**said, "first": [{"status": 503}]} if drawn.random() < FLAKY else said


@contextlib.contextmanager
def a_model(seed: int, sink: str) -> Iterator[ScriptedModel]:
    """Until the block ends; `asked` is its books."""
    model = ScriptedModel({"*": Script(seed, sink)})
    model.start()
    try:
        yield model
    finally:
        model.stop()
