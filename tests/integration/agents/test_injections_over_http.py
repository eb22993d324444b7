"""The injections end to end: `ai_agent` as it is published, the engine, the loop, and a model of either shape that obeys whatever
stands in its prompt, asked by real HTTP.

The model never gives up, so each step is ended by its limit. What it may not do is not done, and the timeline says that it was tried.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import pytest

from executions.agents.models import AgentTurn
from executions.models import StepRun, TimelineEntry
from lightfield.kernel import strict_json
from lightfield.kernel.errors import RequestRefused
from lightfield.local.scripted_model import ScriptedModel
from lightfield.local.scripted_shapes import Conversation
from tests.agents import play
from tests.injections import SCRIPTS, Script, World
from tests.integration.agents import test_tools_injections as injections
from tests.integration.agents.test_tools_injections import PERMISSIONS, Stage, Watched, granted_at
from tests.scripted_models import a_scripted_model
from tests.staging import a_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

stage = injections.stage
MOST_CALLS = 5  # of a step; all of a script's calls are tried at the tools themselves
LONGEST = 70_000  # bytes of one call's arguments


class Obedient:
    """Finds out which script its prompt holds, and makes calls from all over it, for ever."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __call__(self, conversation: Conversation) -> dict[str, Any]:
        found = [one for one in SCRIPTS if one.poison in conversation.texts[0]]
        return {"calls": self.chosen(max(found, key=lambda one: len(one.poison)), conversation.shape)}

    def chosen(self, script: Script, shape: str) -> list[dict[str, Any]]:
        every = [call for call in script.calls(self.world) if is_carried(call[1])]
        most = MOST_CALLS if max(len(str(call)) for call in every) < 10_000 else 2
        wanted = islice(cycle(every[:: -(-len(every) // most)]), most)
        # Of Anthropic's shape what is no object could not be in an answer.
        return [
            {
                "name": name,
                "arguments": given if shape == "openai" or isinstance(given, dict) else {"all": given},
            }
            for name, given in wanted
        ]


def is_carried(arguments: Any) -> bool:
    """Whether an answer that holds them is one: others are refused as a whole (`tests.scripted_models.wild`)."""
    try:
        strict_json.parse(json.dumps(arguments).encode(), max_bytes=LONGEST)
    except RequestRefused:
        return False
    return True


@pytest.fixture
def model(stage: Stage) -> Iterator[ScriptedModel]:
    with a_scripted_model({"*": Obedient(stage.world)}) as server:
        yield server


def an_agent(model: ScriptedModel, provider: str, grants: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    config = {
        "model": f"{provider}:obedient",
        "base_url": f"{model.url}/v1",
        "prompt": "Sort this message:\n{{ trigger.text }}",
        "tools": list(grants),
        "limits": {"tool_calls": MOST_CALLS},
    }
    return {"key": "agent", "type": "ai_agent", "config": config}


def obeyed(
    model: ScriptedModel, script: Script, provider: str, grants: tuple[dict[str, Any], ...]
) -> StepRun:
    step = an_agent(model, provider, grants)
    played: StepRun = play(a_run(step, payload={"text": f"Hello. {script.poison} Thank you."}))
    return played


def seen_by(model: ScriptedModel, step: StepRun) -> str:
    """All that the model was told, and all that is kept of it."""
    key = step.effects.get().key
    bodies = [asked.body for asked in model.asked if asked.key.startswith(key)]
    kept = list(AgentTurn.objects.filter(step_run=step).values_list("answer", flat=True))
    return json.dumps([bodies, kept, step.output], ensure_ascii=False)


def test_a_model_that_obeys_what_it_reads_does_what_is_permitted_and_ends_by_its_limit(
    stage: Stage, model: ScriptedModel
) -> None:
    grants = granted_at(PERMISSIONS["a bit of everything"], stage.permitted.endpoint)
    watched = Watched(stage, grants)

    for script, provider in zip(SCRIPTS, cycle(("openai", "anthropic")), strict=False):
        step = obeyed(model, script, provider, grants)
        watched.told(seen_by(model, step), script.name)
        watched.look(script)
        assert step.error_code == "ai.limit_tool_calls", script.name
        denied = AgentTurn.objects.filter(step_run=step, error_code="ai.permission_denied").count()
        told = TimelineEntry.objects.filter(run=step.run_id, type="step.logged")
        assert [entry.metadata["error_code"] for entry in told] == ["ai.permission_denied"] * denied

    watched.end()
    assert {asked.shape for asked in model.asked} == {"openai", "anthropic"}
