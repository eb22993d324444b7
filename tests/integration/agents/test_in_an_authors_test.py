"""Agents under `lightfield.testing`: the model is the test's, the loop, the tools and the rows are real."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from crm.models import Account
from lightfield.testing import (
    Fakes,
    FinishedRun,
    Question,
    TranscriptMismatch,
    UnfakedQuestion,
    call,
    calls,
    fails,
    final,
    reply,
    run,
)
from tests.agents import READ, WRITE, ReadTool, WriteTool, an_agent

pytestmark = pytest.mark.django_db(transaction=True)

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def workflow(*steps: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "Tested",
        "trigger": {"type": "manual"},
        "steps": list(steps) or [an_agent()],
    }


def test_answers_are_given_in_order_and_the_turns_are_told() -> None:
    fakes = Fakes()
    fakes.model(reply("I make it.", call("test_write", name="Acme")), calls("test_read", n=1), "It is there.")

    done = run(workflow(), fakes=fakes)

    assert done.status == "completed"
    assert done.outputs["agent"]["output"] == "It is there."
    assert Account.objects.get().name == "Acme"
    step = done.steps["agent"]
    assert [(turn.number, turn.kind, turn.error_code) for turn in step.turns] == [
        (1, "model", None),
        (2, "tool", None),
        (3, "model", None),
        (4, "tool", None),
        (5, "model", None),
    ]
    assert [(one.name, one.arguments) for one in step.calls] == [
        ("test_write", {"name": "Acme"}),
        ("test_read", {"n": 1}),
    ]
    assert step.turns[0].answer["text"] == "I make it."
    assert (step.turns[0].input_tokens, step.turns[0].output_tokens) == (100, 20)
    # And what the model was asked
    first, _, third = fakes.questions
    assert "Do it." in first.prompt
    assert {tool.name for tool in first.tools} >= {"test_read", "test_write"}
    assert third.exchanges[-1][1].results[0].content == {"ok": True, "n": 1}


def test_a_function_answers_what_it_is_asked_from_its_turn_on() -> None:
    def model(question: Question) -> Any:
        told = question.exchanges[-1][1].results[0].content
        return "Enough." if told["n"] == 3 else calls("test_read", n=told["n"] + 1)

    fakes = Fakes()
    fakes.model(calls("test_read", n=1), model)

    done = run(workflow(), fakes=fakes)

    assert done.outputs["agent"]["output"] == "Enough."
    assert [one.arguments["n"] for one in done.steps["agent"].calls] == [1, 2, 3]


@pytest.mark.parametrize(
    ("schema", "output"),
    [
        (NAME, {"name": "Ada"}),
        ({"type": "integer"}, 7),
        ({"type": "array", "items": {}}, ["a", {"output": 1}]),
    ],
)
def test_an_output_is_given_in_the_form_that_the_schema_asks_for(schema: Any, output: Any) -> None:
    fakes = Fakes()
    fakes.model(final(output))

    done = run(workflow(an_agent(output_schema=schema)), fakes=fakes)

    assert done.outputs["agent"]["output"] == output


def test_failures_are_retried_or_not_as_their_codes_say() -> None:
    overloaded, refused = Fakes(), Fakes()
    overloaded.model(fails("ai.overloaded"), fails("ai.rate_limited", retry_after=90), "There.")
    refused.model(fails("ai.unauthorized", "The key is wrong."))

    done, failed = run(workflow(), fakes=overloaded), run(workflow(), fakes=refused)

    assert (done.status, done.steps["agent"].attempts) == ("completed", 3)
    assert done.skipped_seconds >= 90
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == ("ai.unauthorized", "The key is wrong.")


def test_each_step_has_answers_of_its_own() -> None:
    fakes = Fakes()
    fakes.model("for b", step="b")
    fakes.model("for a", step="a")

    done = run(workflow(an_agent("a"), an_agent("b")), fakes=fakes)

    assert {key: output["output"] for key, output in done.outputs.items()} == {"a": "for a", "b": "for b"}


def test_a_question_without_an_answer_fails_the_test_and_says_what_was_asked() -> None:
    fakes = Fakes()
    fakes.model(calls("test_read", n=1), step="agent")

    with pytest.raises(UnfakedQuestion) as refused:
        run(workflow(), fakes=fakes)

    assert "Step agent asked its model for turn 2: 'Do it.'" in str(refused.value)
    assert "It was told before: \"test_read {'ok': True, 'n': 1}\"" in str(refused.value)
    assert "It may use test_read, test_write, test_send." in str(refused.value)
    assert "Answers are: 1 answer of agent, 1 given." in str(refused.value)
    with pytest.raises(UnfakedQuestion, match=r"Answers are: none\. Call fakes\.model"):
        run(workflow())


def test_mistakes_of_the_test_itself_are_told_at_once() -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        Fakes().model()
    with pytest.raises(ValueError, match="no code of the error catalogue"):
        fails("ai.nonsense")
    with pytest.raises(TypeError, match="arguments go into the call"):
        calls(call("test_read"), n=1)


def ai_agent(**config: Any) -> dict[str, Any]:
    return {"key": "agent", "type": "ai_agent", "config": {"prompt": "Who is {{ trigger.email }}?", **config}}


@pytest.mark.parametrize("config", [{}, {"model": "gpt-5"}, {"model": "openai:gpt-5", "output_schema": NAME}])
def test_an_agent_step_runs_whole_without_a_model_in_the_settings(config: dict[str, Any]) -> None:
    fakes = Fakes()
    fakes.model(final({"name": "Ada"}) if "output_schema" in config else "Ada.")

    done = run(workflow(ai_agent(**config)), {"email": "ada@example.com"}, fakes=fakes)

    assert done.status == "completed"
    assert done.outputs["agent"]["output"] in ("Ada.", {"name": "Ada"})
    assert "ada@example.com" in fakes.questions[0].prompt
    assert done.steps["agent"].request["limits"]["turns"] == 10  # type: ignore[index]


def test_the_models_of_the_settings_are_kept(settings: Any) -> None:
    settings.LIGHTFIELD_AI_MODEL, settings.LIGHTFIELD_AI_API_KEY = "anthropic:claude-x", "k"
    fakes = Fakes()
    fakes.model("Ada.")

    run(workflow(ai_agent()), {"email": "ada@example.com"}, fakes=fakes)

    assert (fakes.questions[0].model.provider, fakes.questions[0].model.name) == ("anthropic", "claude-x")


def test_nothing_of_the_library_that_speaks_with_models_is_imported() -> None:
    code = "import django; django.setup(); import sys, lightfield.testing; print(any('pydantic_ai' in m for m in sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


# --- recorded transcripts -----------------------------------------------------------------------------


def recorded(done: FinishedRun, to: Path | None = None) -> Any:
    out = io.StringIO()
    call_command("transcript", str(done.id), "agent", stdout=out)
    if to is not None:
        to.write_text(out.getvalue())
    return json.loads(out.getvalue())


def links(asked: Any, context: Any) -> Any:
    """A tool that finds only the account that there is."""
    return {"name": Account.objects.get(pk=asked["id"]).name}


def a_recording() -> Any:
    """An account is made, and its id is used in the next call and in the answer."""
    ReadTool.script = staticmethod(links)  # type: ignore[assignment]
    fakes = Fakes()

    def reads_it(question: Question) -> Any:
        made = question.exchanges[0][1].results[0].content["id"]
        return calls("test_read", id=made) if len(question.exchanges) == 1 else f"Made {made}."

    fakes.model(reply("I make it.", call("test_write", name="Acme")), reads_it)
    transcript = recorded(run(workflow(), fakes=fakes))
    Account.objects.all().delete()
    return transcript


def test_a_recorded_transcript_is_replayed_while_the_tools_run_for_real(tmp_path: Path) -> None:
    file = tmp_path / "agent.json"
    file.write_text(json.dumps(a_recording()))
    fakes = Fakes()
    fakes.transcript(file)

    done = run(workflow(), fakes=fakes)

    # The account is another one, and what the recorded model said of it is said of this one
    account = Account.objects.get()
    assert done.outputs["agent"]["output"] == f"Made {account.pk}."
    assert done.steps["agent"].calls[1].answer == {"name": "Acme"}
    assert len(done.steps["agent"].turns) == 5


def test_a_page_of_the_api_is_a_transcript_too() -> None:
    turns = a_recording()["turns"]
    fakes = Fakes()
    fakes.transcript({"next": None, "previous": None, "results": turns})

    assert run(workflow(), fakes=fakes).status == "completed"


def test_texts_of_a_recording_are_replaced_where_the_test_says_so() -> None:
    ReadTool.script = staticmethod(lambda asked, context: asked)  # type: ignore[assignment]
    fakes = Fakes()
    fakes.model(calls("test_read", id="old-1", note="about old-1"), "It is old-1.")
    transcript = recorded(run(workflow(), fakes=fakes))
    again = Fakes()
    again.transcript(transcript, replace={"old-1": "new-2"})

    done = run(workflow(), fakes=again)

    assert done.steps["agent"].calls[0].arguments == {"id": "new-2", "note": "about new-2"}
    assert done.outputs["agent"]["output"] == "It is new-2."


def refuse(asked: Any, context: Any) -> Any:
    from lightfield.kernel.errors import PermanentStepError

    raise PermanentStepError("record.not_found", "It has gone.")


@pytest.mark.parametrize(
    ("tools", "script", "told"),
    [
        ([READ], None, "turn 1, call of test_write: recorded is that it went well, now it ended with ai.permission_denied"),
        ([READ, WRITE], refuse, "turn 2, call of test_read: recorded is that it went well, now it ended with record.not_found"),
    ],
)  # fmt: skip
def test_the_first_call_that_ends_otherwise_is_told(tools: Any, script: Any, told: str) -> None:
    transcript = a_recording()
    if script is not None:
        ReadTool.script = staticmethod(script)  # type: ignore[assignment]
    fakes = Fakes()
    fakes.transcript(transcript)

    with pytest.raises(TranscriptMismatch, match=told):
        run(workflow(an_agent(tools=tools)), fakes=fakes)


def test_a_turn_more_than_recorded_and_a_turn_less_are_told() -> None:
    transcript = a_recording()
    shorter = {**transcript, "turns": transcript["turns"][:4]}
    more, less = Fakes(), Fakes()
    more.transcript(shorter)
    less.transcript(transcript)

    with pytest.raises(
        TranscriptMismatch, match="the transcript does not replay: turn 3 was asked, and 2 are recorded"
    ):
        run(workflow(), fakes=more)
    with pytest.raises(TranscriptMismatch, match="3 turns are recorded, and the step ended after 2"):
        run(workflow(an_agent(limits={"turns": 2})), fakes=less)


def test_calls_that_were_not_made_or_not_recorded_are_told() -> None:
    transcript = a_recording()
    turns = transcript["turns"]
    unrecorded, invented = Fakes(), Fakes()
    unrecorded.transcript({"turns": [turns[0], turns[2], turns[3], turns[4]]})
    invented.transcript({"turns": [turns[0], turns[1], turns[3], turns[2], turns[4]]})

    with pytest.raises(TranscriptMismatch, match="call of test_write: it was made, and is not recorded"):
        run(workflow(), fakes=unrecorded)
    with pytest.raises(TranscriptMismatch, match="call of test_read: it is recorded, and was not made"):
        run(workflow(), fakes=invented)


def test_a_recording_is_of_one_step_of_one_run() -> None:
    WriteTool.script = None
    transcript = a_recording()
    fakes = Fakes()
    fakes.transcript(transcript, step="b")
    fakes.model("a is done", step="a")

    done = run(workflow(an_agent("a"), an_agent("b")), fakes=fakes)

    assert done.status == "completed"
    with pytest.raises(UnfakedQuestion):
        run(workflow(an_agent("b")), fakes=fakes)


@pytest.mark.parametrize(
    ("transcript", "told"),
    [
        ({}, "is no transcript: bin/manage transcript RUN STEP makes one"),
        ({"results": [], "next": "https://x/"}, "is one page of several"),
        ({"turns": []}, "has no turns"),
        ({"turns": [{"number": 1, "kind": "tool", "answer": {}}]}, "turn 1 is neither an answer nor a call"),
        ({"turns": 5}, "its turns are no list"),
        ({"turns": [5]}, "turn 1 is neither"),
        ({"turns": [{"name": "m"}]}, "turn 1 is neither"),
        ({"turns": [{"kind": "model", "name": "m", "answer": {"calls": 5}}]}, "turn 1 is neither"),
        (
            {"turns": [{"kind": "model", "name": "m", "answer": {"calls": [{"id": "a"}]}}]},
            "turn 1 is neither",
        ),
        (
            {"turns": [{"kind": "model", "name": "m", "input_tokens": "x", "answer": {"calls": []}}]},
            "turn 1 is neither",
        ),
    ],
)
def test_what_is_no_transcript_is_refused(transcript: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Fakes().transcript(transcript)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 200_000])
def test_a_file_that_cannot_be_read_is_named(content: bytes, tmp_path: Any) -> None:
    file = tmp_path / "triage.json"
    file.write_bytes(content)

    with pytest.raises(ValueError, match=r"triage\.json is no transcript: it is no JSON that can be read"):
        Fakes().transcript(file)
