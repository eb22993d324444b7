"""Models that say what a test wants, by real HTTP, in either shape; and questions put to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from executions.agents.values import ModelSpec, Provider, Question, ToolSpec
from lightfield.local.scripted_model import Script, ScriptedModel

KEY = "sk-canary-of-the-model-0123456789"
LOOK_UP = ToolSpec(
    "look_up",
    "Find somebody.",
    {"type": "object", "properties": {"email": {"type": "string"}}, "required": ["email"]},
)


@contextlib.contextmanager
def a_scripted_model(
    scripts: Mapping[str, Script] | list[dict[str, Any]], *, api_key: str | None = None
) -> Iterator[ScriptedModel]:
    """Serve these scripts; a list is the script of every model."""
    server = ScriptedModel(
        {"*": scripts} if isinstance(scripts, list) else scripts,
        api_key=api_key,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


def spec_of(
    server: ScriptedModel, provider: Provider = "openai", *, name: str = "scripted", api_key: Any = ()
) -> ModelSpec:
    base_url = server.url + "/v1" if provider == "openai" else server.url
    return ModelSpec(provider, name, base_url, api_key)


def a_question(model: ModelSpec, **more: Any) -> Question:
    given = {
        "instructions": "Be brief.",
        "prompt": "Who is a@b.c?",
        "most_output_tokens": 500,
        "seconds": 10.0,
        "key": "eff_1:turn_1",
        "trace_id": "ab" * 16,
        **more,
    }
    return Question(model=model, **given)
