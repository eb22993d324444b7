"""What an agent did and used, in the API and as a file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions import selectors
from executions.models import Run
from lightfield.kernel.errors import PermanentStepError
from tests.api_client import ApiCaller, code_of
from tests.bellboy import Bellboy
from tests.scripted import ScriptedSlow
from tests.staging import a_run, say
from tests.transcripts import (
    LIMITS,
    SEARCH,
    a_run_underway,
    agent,
    an_ended_run,
    called,
    playing,
    said,
    scripted_agents,
    wants,
)

pytestmark = pytest.mark.django_db(transaction=True)

TURNS = (
    said("I look her up.", wants()),
    called(answer={"records": [{"id": "r1"}], "count": 1}),
    said("It is Ada.", input_tokens=1500, output_tokens=20, cost="0.002075"),
)


@pytest.fixture
def agents() -> Iterator[ScriptedSlow]:
    with scripted_agents() as scripted:
        scripted.script = playing(*TURNS)
        yield scripted


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller("viewer")


def test_the_step_of_an_agent_tells_what_it_used(
    api: ApiCaller, agents: ScriptedSlow, bellboy: Bellboy
) -> None:
    run = an_ended_run(bellboy, agent(), say())

    first, second = api.get(f"/runs/{run.pk}").json()["steps"]

    assert first["agent"] == {
        "model": "openai:gpt-5",
        "turns": 2,
        "tool_calls": 1,
        "input_tokens": 2700,
        "output_tokens": 100,
        "cost": 0.004375,
        "limits": LIMITS,
    }
    assert second["agent"] is None


def test_it_tells_so_while_it_runs_and_after_it_failed(
    api: ApiCaller, agents: ScriptedSlow, bellboy: Bellboy
) -> None:
    agents.script = playing(*TURNS, error=PermanentStepError("ai.limit_turns"))
    runs = [a_run_underway(*TURNS[:2]), an_ended_run(bellboy, agent())]

    steps = [api.get(f"/runs/{run.pk}").json()["steps"][0] for run in runs]

    assert [step["status"] for step in steps] == ["running", "failed"]
    assert [step["agent"]["turns"] for step in steps] == [1, 2]
    assert [step["agent"]["tool_calls"] for step in steps] == [1, 1]
    assert steps[0]["agent"]["cost"] == 0.0023


def test_a_model_without_a_price_has_no_cost_and_an_agent_that_has_not_begun_no_model(
    api: ApiCaller, agents: ScriptedSlow, bellboy: Bellboy
) -> None:
    agents.script = playing(said("Hello.", cost=None))
    unpriced = an_ended_run(bellboy, agent())
    waiting = a_run(agent())

    assert api.get(f"/runs/{unpriced.pk}").json()["steps"][0]["agent"]["cost"] is None
    begun = api.get(f"/runs/{waiting.pk}").json()["steps"][0]["agent"]
    assert (begun["model"], begun["limits"], begun["turns"], begun["cost"]) == (None, None, 0, None)


def test_a_run_without_agents_asks_no_more_and_one_with_several_two_queries_in_all(
    agents: ScriptedSlow, bellboy: Bellboy
) -> None:
    plain = an_ended_run(bellboy, say("a"), say("b"))
    several = an_ended_run(bellboy, agent("a"), agent("b"), agent("c"))

    counts = []
    for run in (plain, several):
        with CaptureQueriesContext(connection) as queries:
            shown = selectors.run_for_detail(run.pk)
            assert [step.agent is not None for step in shown.steps.all()].count(True) in (0, 3)  # type: ignore[attr-defined]
        counts.append(len(queries))

    assert counts[1] == counts[0] + 2


def test_turns_are_a_page_in_order_without_what_the_library_keeps(
    api: ApiCaller, agents: ScriptedSlow, bellboy: Bellboy
) -> None:
    run = an_ended_run(bellboy, agent())

    pages = api.pages(f"/runs/{run.pk}/steps/agent/turns?limit=2")

    assert [[turn["number"] for turn in page] for page in pages] == [[1, 2], [3]]
    model, tool = pages[0]
    assert list(model) == [
        *("number", "kind", "name", "key", "asked", "answer", "error_code", "input_tokens", "output_tokens"),
        *("cost", "attempt", "started_at", "finished_at"),
    ]
    assert model["answer"] == {"text": "I look her up.", "calls": [wants()], "finish": "tool_calls"}
    assert (model["kind"], model["name"], model["asked"]) == ("model", "gpt-5-2026", None)
    assert (model["input_tokens"], model["output_tokens"], model["cost"]) == (1200, 80, 0.0023)
    assert model["key"] == f"{run.pk}:agent:turn_1"
    assert (tool["kind"], tool["name"], tool["error_code"]) == ("tool", "find_records", None)
    assert tool["asked"] == {"id": "c1", "arguments": SEARCH}
    assert tool["answer"] == {"records": [{"id": "r1"}], "count": 1}
    assert tool["finished_at"].endswith("Z")


def test_a_call_that_was_sent_and_not_answered_yet_is_there(api: ApiCaller, agents: ScriptedSlow) -> None:
    run = a_run_underway(said("", wants()), called("http_request", is_open=True))

    turn = api.get(f"/runs/{run.pk}/steps/agent/turns").json()["results"][-1]

    assert (turn["name"], turn["answer"], turn["finished_at"]) == ("http_request", None, None)


def test_secrets_in_arguments_requests_and_results_are_replaced(
    api: ApiCaller, agents: ScriptedSlow, bellboy: Bellboy
) -> None:
    arguments = {"url": "https://a.example/", "json": {"password": "hunter2"}}
    request = {"method": "POST", "url": "https://a.example/?api_key=hunter2", "headers": {"Authorization": "hunter2"}}  # fmt: skip
    agents.script = playing(
        said("", wants("http_request", arguments)),
        called("http_request", arguments, {"access_token": "hunter2"}, request=request),
    )
    run = an_ended_run(bellboy, agent())

    answer = api.get(f"/runs/{run.pk}/steps/agent/turns")

    assert len(answer.json()["results"]) == 2
    assert b"hunter2" not in answer.content
    assert "hunter2" not in exported(run)


def test_there_are_no_turns_of_what_is_no_agent_and_no_step_that_is_not_there(
    api: ApiCaller, agents: ScriptedSlow, bellboy: Bellboy
) -> None:
    run = an_ended_run(bellboy, say("note"), agent())

    assert api.get(f"/runs/{run.pk}/steps/note/turns").json()["results"] == []
    assert code_of(api.get(f"/runs/{run.pk}/steps/nobody/turns"))[0] == 404
    assert code_of(api.get(f"/runs/{run.event_id}/steps/agent/turns"))[0] == 404


def test_a_step_that_was_taken_over_leaves_its_turns_to_the_run_that_it_was_taken_from(
    api: ApiCaller, agents: ScriptedSlow, bellboy: Bellboy
) -> None:
    run = an_ended_run(bellboy, agent(), say("fail", "{{ trigger.missing }}"))
    again = ApiCaller("operator").post(f"/runs/{run.pk}/replay").json()["run_id"]
    bellboy.answer_all()

    step = api.get(f"/runs/{again}").json()["steps"][0]

    assert (step["reused"], step["agent"]) == (True, None)
    assert api.get(f"/runs/{again}/steps/agent/turns").json()["results"] == []


def exported(run: Run, step: str = "agent") -> str:
    out = io.StringIO()
    call_command("transcript", str(run.pk), step, stdout=out)
    return out.getvalue()


def test_a_transcript_is_exported_with_the_turns_of_the_api(
    api: ApiCaller, agents: ScriptedSlow, bellboy: Bellboy
) -> None:
    run = an_ended_run(bellboy, agent())

    file: dict[str, Any] = json.loads(exported(run))

    assert file.pop("turns") == api.get(f"/runs/{run.pk}/steps/agent/turns").json()["results"]
    assert file == {
        "format": 1,
        "workflow": "A workflow",
        "version": 1,
        "run": str(run.pk),
        "step": "agent",
        "status": "completed",
        "model": "openai:gpt-5",
        "limits": LIMITS,
    }


def test_what_has_no_transcript_is_told(agents: ScriptedSlow, bellboy: Bellboy) -> None:
    run = an_ended_run(bellboy, say("note"))

    for arguments, told in (
        (("nonsense", "agent"), "There is no run 'nonsense'."),
        ((str(run.event_id), "agent"), "There is no run"),
        ((str(run.pk), "agent"), "has no step 'agent'"),
        ((str(run.pk), "note"), "Step 'note' has no turns"),
    ):
        with pytest.raises(CommandError, match=told):
            call_command("transcript", *arguments, stdout=io.StringIO())
