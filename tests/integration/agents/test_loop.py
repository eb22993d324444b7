"""The agent's loop: what it asks, what it does of what a model wants, and what it gives."""

from __future__ import annotations

from typing import Any

import pytest

from crm.models import Account
from executions.agents.models import AgentTurn
from executions.agents.values import Reply, Usage
from executions.models import Effect, TimelineEntry
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from tests.agents import (
    READ,
    Model,
    ReadTool,
    SendTool,
    WriteTool,
    an_agent,
    asked_of,
    calls,
    gives,
    play,
    played,
    says,
    turns_of,
)
from tests.staging import a_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def test_a_model_that_answers_at_once_gives_its_text() -> None:
    step = played(says("It is done."))

    assert step.status == "completed"
    assert step.output == {
        "output": "It is done.",
        "usage": {"turns": 1, "tool_calls": 0, "input_tokens": 10, "output_tokens": 10, "cost": None},
        "tool_calls": [],
    }
    assert turns_of(step) == [(1, "model", "turn_1", None)]
    assert Effect.objects.get().status == "done"


def test_calls_are_made_in_order_and_the_model_is_told_what_came_of_them() -> None:
    model = Model(
        calls(("test_read", {"n": 1}), ("test_write", {"name": "Acme"}), ("test_send", {"n": 2})),
        says("Done."),
    )
    step = played(model=model)

    assert step.status == "completed"
    account = Account.objects.get()
    assert turns_of(step) == [
        (1, "model", "turn_1", None),
        (2, "tool", "call_1", None),
        (3, "tool", "call_2", None),
        (4, "tool", "call_3", None),
        (5, "model", "turn_2", None),
    ]
    ((reply, told),) = model.asked[1].exchanges
    assert reply.calls[0].name == "test_read"
    assert [(one.id, one.content, one.is_error) for one in told.results] == [
        ("c1", {"ok": True, "n": 1}, False),
        ("c2", {"id": str(account.pk)}, False),
        ("c3", {"ok": True, "n": None}, False),
    ]
    assert SendTool.called[0][0] == {"frozen": {"n": 2}}
    assert SendTool.called[0][1].key == f"{step.run_id}:agent:call_3"
    turn: Any = AgentTurn.objects.get(number=4)
    assert turn.asked["request"] == {"frozen": {"n": 2}}
    assert [one["name"] for one in step.output["tool_calls"]] == ["test_read", "test_write", "test_send"]
    assert model.asked[0].key == f"{step.run_id}:agent:turn_1"


def test_an_output_with_a_schema_is_given_by_the_final_tool() -> None:
    step = played(calls(gives({"name": "Ada"})), output_schema=NAME)

    assert step.output["output"] == {"name": "Ada"}


def test_an_output_that_is_no_object_is_wrapped_for_the_model_and_unwrapped_again() -> None:
    model = Model(calls(gives({"output": ["a", "b"]})))
    schema = {"$ref": "#/$defs/names", "$defs": {"names": {"type": "array", "items": {"type": "string"}}}}
    step = played(model=model, output_schema=schema)

    assert step.output["output"] == ["a", "b"]
    told = model.asked[0].tools[-1].parameters
    assert told["properties"]["output"] == {"$ref": "#/$defs/names"}
    assert told["$defs"] == schema["$defs"]


@pytest.mark.parametrize(
    ("bad", "schema"),
    [
        (says("Here it is."), NAME),
        (calls(gives({"name": 7})), NAME),
        (calls(gives("{")), NAME),
        (calls(gives({"name": "a"}), gives({"name": "b"})), NAME),
        (calls(gives({"wrong": "a"})), {"type": "string"}),
        (says("  "), None),
        (says("cut", finish="length"), None),
    ],
)
def test_a_model_that_does_not_give_the_output_is_told_twice_and_then_the_step_fails(
    bad: Reply, schema: Any
) -> None:
    model = Model(bad)
    step = played(model=model, output_schema=schema)

    assert (step.status, step.error_code) == ("failed", "ai.invalid_output")
    assert model.turns == [1, 2, 3]
    assert step.error["metadata"]["usage"]["turns"] == 3
    assert step.error["metadata"]["problems"]
    for question in model.asked[1:]:
        told = question.exchanges[-1][1]
        assert told.text or told.results[0].is_error


def test_a_model_that_corrects_itself_gives_its_output() -> None:
    step = played(calls(gives({"name": 7})), says("Oh."), calls(gives({"name": "7"})), output_schema=NAME)

    assert step.output["output"] == {"name": "7"}


def test_calls_beside_the_final_output_are_made_before_it_wherever_they_stand() -> None:
    step = played(calls(gives({"name": "Ada"}), ("test_write", {"name": "Acme"})), output_schema=NAME)

    assert step.output["output"] == {"name": "Ada"}
    assert Account.objects.count() == 1


def test_an_output_beside_a_call_that_failed_is_not_taken() -> None:
    """The model could not know."""
    model = Model(
        calls(("test_write", {"no": "name"}), gives({"name": "Ada"})), calls(gives({"name": "Bob"}))
    )
    step = played(model=model, output_schema=NAME)

    assert step.output["output"] == {"name": "Bob"}
    first, second = model.asked[1].exchanges[0][1].results
    assert (first.is_error, second.is_error) == (True, True)


# --- what tools refuse ----------------------------------------------------------------------------------


def test_what_is_not_permitted_is_told_to_the_model_and_to_the_timeline() -> None:
    model = Model(calls(("test_write", {"name": "Acme"}), ("rm", {"path": "/"})), says("I may not."))
    step = played(model=model, tools=[READ])

    assert step.status == "completed"
    assert WriteTool.called == []
    codes = [one.content["error"]["code"] for one in model.asked[1].exchanges[0][1].results]
    assert codes == ["ai.permission_denied"] * 2
    told = TimelineEntry.objects.filter(type="step.logged").order_by("seq")
    assert [(one.metadata["tool"], one.metadata["error_code"], one.metadata["tried"]) for one in told] == [
        ("test_write", "ai.permission_denied", {"name": "Acme"}),
        ("rm", "ai.permission_denied", {"path": "/"}),
    ]
    assert [one["error"] for one in step.output["tool_calls"]] == ["ai.permission_denied"] * 2
    assert step.output["usage"]["tool_calls"] == 2


@pytest.mark.parametrize("arguments", [{}, {"name": 7}, "no json", {"name": "a\0b"}])
def test_arguments_that_do_not_fit_are_told_to_the_model(arguments: Any) -> None:
    model = Model(calls(("test_write", arguments)), says("Never mind."))
    step = played(model=model)

    assert step.status == "completed"
    (result,) = model.asked[1].exchanges[0][1].results
    assert result.content["error"]["code"] == "ai.invalid_arguments"
    assert WriteTool.called == []


@pytest.mark.parametrize("tool", [ReadTool, WriteTool, SendTool])
def test_what_a_tool_refuses_is_told_and_the_step_goes_on(tool: Any) -> None:
    def refuse(asked: Any, context: Any) -> Any:
        if tool is WriteTool:
            Account.objects.create(name="never")
        raise PermanentStepError("record.not_found", "There is none.", pointer="/id")

    tool.script = refuse
    model = Model(calls((tool.spec.name, {"name": "a"})), says("Pity."))
    step = played(model=model)

    assert step.status == "completed"
    (result,) = model.asked[1].exchanges[0][1].results
    assert result.content == {
        "error": {"code": "record.not_found", "message": "There is none.", "details": {"pointer": "/id"}}
    }
    assert result.is_error
    assert Account.objects.count() == 0
    assert turns_of(step)[1] == (2, "tool", "call_1", "record.not_found")


@pytest.mark.parametrize("tool", [ReadTool, WriteTool, SendTool])
def test_given_a_tool_that_fails_for_now_then_the_attempt_ends_and_the_next_one_makes_the_call_again(
    tool: Any,
) -> None:
    def fail(asked: Any, context: Any) -> Any:
        raise TransientStepError("http.unavailable")

    tool.script = fail
    model = Model(calls(("test_read", {}), (tool.spec.name, {"name": "a"})), says("Done."))
    with asked_of(model):
        run = a_run(an_agent())
        step = play(run)
        assert (step.status, step.error_code) == ("waiting", "http.unavailable")
        tool.script = None
        step = play(run)

    assert step.status == "completed"
    assert model.turns == [1, 2]
    keys = [context.key for _, context in tool.called]
    assert keys[-1] == f"{run.pk}:agent:call_2"
    if tool is SendTool:
        assert keys == [keys[0]] * 2
        assert [context.is_repeat for _, context in tool.called] == [False, True]


def test_given_a_tool_that_sends_then_its_request_is_committed_before_it_leaves() -> None:
    seen: list[Any] = []

    def look(asked: Any, context: Any) -> Any:
        seen.extend(AgentTurn.objects.filter(kind="tool").values_list("key", "asked__request", "finished_at"))
        return {}

    SendTool.script = look
    step = played(calls(("test_send", {"n": 1})), says("Done."))

    assert seen == [(f"{step.run_id}:agent:call_1", {"frozen": {"n": 1}}, None)]


# --- limits ---------------------------------------------------------------------------------------------

LOOPS = calls(("test_read", {}))
LIMITS: list[tuple[str, dict[str, Any], Any, int, int]] = [
    ("ai.limit_turns", {"limits": {"turns": 3}}, LOOPS, 3, 3),
    ("ai.limit_tool_calls", {"limits": {"tool_calls": 3}}, LOOPS, 4, 3),
    ("ai.limit_tool_calls", {"limits": {"tool_calls": 3}}, calls(*[("test_read", {})] * 5000), 1, 3),
    ("ai.limit_tokens", {"limits": {"tokens": 50}}, LOOPS, 3, 2),
    ("ai.limit_tokens", {"limits": {"tokens": 40}}, LOOPS, 2, 2),
    ("ai.limit_cost", {"limits": {"cost": 0.05}, "price": {"input": 1000, "output": 1000}}, LOOPS, 3, 2),
    ("ai.limit_cost", {"limits": {"cost": 0.04}, "price": {"input": 1000, "output": 1000}}, LOOPS, 2, 2),
]


@pytest.mark.parametrize(("code", "config", "answer", "turns", "called"), LIMITS)
def test_a_loop_ends_at_its_limit_with_what_it_has_used(
    code: str, config: dict[str, Any], answer: Reply, turns: int, called: int
) -> None:
    model = Model(answer)
    step = played(model=model, **config)

    assert (step.status, step.error_code) == ("failed", code)
    assert len(model.asked) == turns
    assert len(ReadTool.called) == called
    usage = step.error["metadata"]["usage"]
    assert (usage["turns"], usage["tool_calls"]) == (turns, called)
    assert usage["input_tokens"] == 10 * turns
    assert [kind for _, kind, _, _ in turns_of(step)].count("tool") == called
    assert Effect.objects.get().status == "done"


def test_given_time_that_is_over_then_no_turn_and_no_call_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("executions.agents.spending.time.monotonic", lambda: clock[0])

    def slow(asked: Any, context: Any) -> Any:
        clock[0] += 130
        return {}

    ReadTool.script = slow
    model = Model(calls(("test_read", {}), ("test_read", {})))
    step = played(model=model)

    assert (step.status, step.error_code) == ("failed", "ai.limit_seconds")
    assert len(ReadTool.called) == 1


def test_an_error_that_came_when_the_time_was_over_is_the_limit() -> None:
    def late(question: Any) -> Reply:
        raise TransientStepError("http.timeout", sent=True)

    step = played(late, limits={"seconds": 0.0001})
    assert (step.status, step.error_code) == ("failed", "ai.limit_seconds")


def test_given_a_limit_of_cost_and_no_price_then_nothing_is_asked() -> None:
    model = Model(says("no"))
    step = played(model=model, limits={"cost": 1})

    assert (step.status, step.error_code) == ("failed", "ai.no_price")
    assert model.asked == []
    assert Effect.objects.get().status == "abandoned"


def test_what_a_turn_costs_is_journaled_and_told() -> None:
    step = played(Reply(text="Done.", usage=Usage(1000, 500), model="m"), price={"input": 2.5, "output": 10})

    turn = AgentTurn.objects.get()
    assert (turn.input_tokens, turn.output_tokens, float(turn.cost or 0)) == (1000, 500, 0.0075)
    assert step.output["usage"]["cost"] == 0.0075


def test_an_answer_that_the_provider_withheld_ends_the_step() -> None:
    step = played(says("", finish="content_filter"))

    assert (step.status, step.error_code) == ("failed", "ai.content_filtered")
    assert turns_of(step) == [(1, "model", "turn_1", None)]


@pytest.mark.parametrize(
    "config",
    [
        {"tools": [{"type": "nobody_knows"}]},
        {"tools": [{"type": "test_read", "more": 1}]},
        {"output_schema": {"type": "no such"}},
        {"output_schema": {"$ref": "http://localhost:1/schema"}},
    ],
)
def test_a_request_that_makes_no_sense_asks_nothing(config: dict[str, Any]) -> None:
    model = Model(says("no"))
    step = played(model=model, **config)

    assert (step.status, step.error_code) == ("failed", "config.invalid")
    assert model.asked == []
