"""`bin/demo`: whose model its agent asks, and how its story tells what an agent did."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from lightfield.local import demo_model, demo_stage
from lightfield.local.home import Home
from lightfield.local.story import Chapter, told


def chosen(home: Path) -> demo_model.Model:
    with contextlib.ExitStack() as held:
        return demo_model.chosen(Home(home), held)


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("LIGHTFIELD_", "FLOWER_")):
            monkeypatch.setenv(name, os.environ[name])  # so that it comes back
    for name in demo_model.GIVEN:
        monkeypatch.delenv(name, raising=False)


def test_given_a_model_then_it_is_asked_and_its_settings_reach_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "LIGHTFIELD_AI_MODEL": "anthropic:claude-x",
        "LIGHTFIELD_AI_BASE_URL": "http://localhost:11434/v1",
        "LIGHTFIELD_AI_API_KEY": "sk-own",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LIGHTFIELD_LEASE_SECONDS", "99")

    model = chosen(tmp_path)
    demo_stage._forget_other_settings()

    assert model.desk is None
    assert "anthropic:claude-x" in model.words
    assert model.may_be_asked == "localhost:11434"
    assert {name: os.environ.get(name) for name in given} == given
    assert "LIGHTFIELD_LEASE_SECONDS" not in os.environ


def test_given_no_model_then_a_script_stands_in_and_no_key_is_taken_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIGHTFIELD_AI_API_KEY", "sk-own")

    model = chosen(tmp_path)

    assert model.desk is not None
    assert "a script stands in" in capsys.readouterr().err
    assert model.settings["LIGHTFIELD_AI_BASE_URL"] == f"http://{model.may_be_asked}/v1"
    assert not [name for name in demo_model.GIVEN if name in os.environ]


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("", ""),
        ("https://api.example.com/v1", "api.example.com:443"),
        ("http://[::1]:8080/v1", "[::1]:8080"),
        ("http://localhost:many", ""),
    ],
)
def test_where_a_model_is_asked_is_let_through(url: str, endpoint: str) -> None:
    assert demo_model._endpoint(url) == endpoint


AT = "2026-11-29T09:00:0{}.000000Z"


def a_turn(number: int, kind: str, name: str, **more: Any) -> dict[str, Any]:
    key = f"eff:{'turn' if kind == 'model' else 'call'}_{number}"
    return {
        "number": number,
        "kind": kind,
        "name": name,
        "key": key,
        "error_code": None,
        "started_at": AT.format(number),
        "finished_at": AT.format(number),
        **more,
    }


def a_story(*turns: dict[str, Any]) -> str:
    agent = {"turns": 2, "tool_calls": 1, "input_tokens": 1200, "output_tokens": 34, "cost": 0.0123}
    run = {
        "id": "run-1",
        "version": 1,
        "trace_id": "trace-1",
        "status": "completed",
        "finished_at": AT.format(9),
        "steps": [{"key": "agent", "agent": agent}],
    }
    entry = {"type": "step.completed", "step": "agent", "attempt": 1, "at": AT.format(8), "metadata": {}}
    begun = {**entry, "type": "step.started", "at": AT.format(0)}
    return told([Chapter("A story", run, [begun, entry], {"agent": [*turns]})], [], [], colour=False)


def test_an_agents_turns_and_calls_are_told_in_their_order_and_what_it_used() -> None:
    asked = {"arguments": {"entity": "contact"}}
    story = a_story(
        a_turn(1, "model", "m", answer={"text": "", "calls": [{"name": "upsert_record"}]}),
        a_turn(2, "tool", "upsert_record", asked=asked, answer={"id": "7", "created": True}),
        a_turn(3, "tool", "find_records", asked=asked, answer={"records": [], "count": 0}),
        a_turn(4, "tool", "delete_record", asked=asked, answer={}, error_code="ai.permission_denied"),
        a_turn(5, "tool", "get_record", asked=asked, answer={}, error_code="record.not_found"),
    )

    lines = [line.split(maxsplit=4)[3:] for line in story.splitlines() if " s  agent" in line]
    assert lines == [
        ["started", "attempt 1"],
        ["answer", "turn 1: calls upsert_record"],
        ["call", "upsert_record contact → created: 7"],
        ["call", "find_records contact → none"],
        ["refused", "delete_record contact → ai.permission_denied"],
        ["failed", "get_record contact → record.not_found"],
        ["completed", "attempt 1  2 turns, 1 tool calls, 1,200 tokens read, 34 written, 0.0123 US dollars"],
    ]


def test_what_a_model_wrote_stays_on_its_line_and_steers_no_terminal() -> None:
    story = a_story(a_turn(1, "model", "m", answer={"text": "\x1b[2Jgone\n" + "x" * 500, "calls": []}))

    (line,) = [line for line in story.splitlines() if "gone" in line]
    assert "\x1b" not in line
    assert len(line) < 120
