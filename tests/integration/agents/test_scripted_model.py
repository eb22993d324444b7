"""The model that says what a script says: what it takes out of a conversation, and that it remembers none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from executions.agents.asking import ask
from executions.agents.values import CallResult, CallWanted, Reply, Told
from executions.egress import current
from lightfield.local import ports
from tests.scripted_models import a_question, a_scripted_model, spec_of

BOTH = pytest.mark.parametrize("provider", ["openai", "anthropic"])


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> Any:
    settings.LIGHTFIELD_EGRESS_ALLOW = "127.0.0.0/8"
    settings.LIGHTFIELD_OWN_SERVERS = []
    yield
    current.close()


def so_far(*results: Any) -> tuple[tuple[Reply, Told], ...]:
    calls = tuple(CallWanted(f"c{number}", "t", {}) for number in range(len(results)))
    told = tuple(CallResult(call.id, "t", result) for call, result in zip(calls, results, strict=True))
    return ((Reply(calls=calls), Told(told)),)


@BOTH
def test_given_places_in_a_script_then_they_are_filled_in_from_the_conversation(provider: Any) -> None:
    wanted = {
        "who": {"$find": "about ([a-z@.]+)"},
        "id": {"$result": "2.found.1.id"},
        "none": {"$result": "7.id"},
        "nobody": {"$find": "nowhere (x)"},
    }
    script: list[dict[str, Any]] = [{"text": "first"}, {"calls": [{"name": "t", "arguments": wanted}]}]
    with a_scripted_model(script) as server:
        said = so_far({"id": 1}, {"found": [{}, {"id": "c7"}]})
        reply = ask(
            a_question(spec_of(server, provider), prompt="It is about a@b.c, please.", exchanges=said)
        )
    assert reply.calls[0].arguments == {"who": "a@b.c", "id": "c7", "none": None, "nobody": None}


@BOTH
def test_given_the_same_conversation_again_then_the_answer_is_the_same(provider: Any) -> None:
    with a_scripted_model([{"text": "first"}, {"text": "second"}]) as server:
        model = spec_of(server, provider)
        said = [ask(a_question(model, exchanges=so_far(1) * turns)).text for turns in (0, 1, 0, 1, 5)]
    assert said == ["first", "second", "first", "second", "second"]


@BOTH
def test_given_a_process_of_its_own_then_it_answers_and_tells_what_it_was_asked(
    provider: Any, tmp_path: Path
) -> None:
    scripts = tmp_path / "scripts.json"
    scripts.write_text(json.dumps({"scripted": [{"text": "Ada."}]}))
    port = ports.any_free("127.0.0.1")
    with a_scripted_model([]) as model_of_the_shape:
        spec = spec_of(model_of_the_shape, provider)
    base_url = spec.base_url.replace(str(model_of_the_shape.port), str(port))
    command = [sys.executable, "-m", "lightfield.local.scripted_model", str(port), str(scripts)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"http://127.0.0.1:{port}\n"  # it listens
            reply = ask(a_question(type(spec)(spec.provider, "scripted", base_url, ()), key="eff_1:turn_1"))
            seen = requests.get(f"http://127.0.0.1:{port}/seen", timeout=10).json()
        finally:
            process.terminate()
    assert reply.text == "Ada."
    assert seen == [{"shape": provider, "model": "scripted", "turn": 1, "key": "eff_1:turn_1", "status": 200}]
