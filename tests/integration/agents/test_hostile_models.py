"""A model that means ill, or is broken: whatever it says, the step ends by its rules, and what is kept can be kept."""

from __future__ import annotations

from typing import Any

import pytest

from executions.agents.keeping import LARGEST_ARGUMENTS, LONGEST_TEXT, MOST_CALLS
from executions.agents.models import AgentTurn
from executions.agents.values import FINAL, CallWanted, Reply, Usage
from lightfield.kernel import strict_json
from tests.agents import Model, ReadTool, calls, gives, played, says

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


def raw_of(*wanted: CallWanted, **more: Any) -> Reply:
    return Reply(calls=tuple(wanted), usage=Usage(1, 1), raw={"as": "it came"}, finish="tool_calls", **more)


HOSTILE = {
    "thousands of calls": calls(*[("rm", {"n": n}) for n in range(20_000)]),
    "one huge argument": calls(("test_read", {"text": "x" * 3_000_000})),
    "huge arguments together": calls(*[("test_read", {"text": "x" * 200_000})] * 5),
    "deep arguments": calls(("test_read", {"n": nested(500)})),
    "arguments that are no number": calls(("test_read", {"n": float("nan")})),
    "NUL and half characters": calls(("test_read", {"n": "\0\ud800", "\0": 1})),
    "numbers beyond all bounds": calls(("test_read", {"n": 10**400})),
    "arguments as text": calls(("test_read", '{"n": \0\ud800')),
    "no name": calls(("", {})),
    "an odd name": calls(("rm -rf /\n\0" * 100, {})),
    "the same id twice": raw_of(CallWanted("a", "test_read", {}), CallWanted("a", "test_read", {})),
    "no ids": raw_of(CallWanted("", "test_read", {}), CallWanted("", "test_read", {})),
    "a huge id": raw_of(CallWanted("a\0\n" * 9000, "test_read", {})),
    "usage of less than nothing": Reply(text="", usage=Usage(-5, -7)),
    "usage beyond all bounds": Reply(text="", usage=Usage(10**30, 10**30)),
    "a huge raw answer": Reply(text="", raw={"x": "y" * 2_000_000}),
    "a raw answer that cannot be kept": Reply(text="", raw={"x": nested(100)}),
    "a final output that there is not": calls(gives({"a": 1})),
    "a model's name of any length": Reply(text="", model="m\0" * 5000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_model_answers_the_step_goes_on_and_what_is_kept_is_bounded(name: str) -> None:
    model = Model(HOSTILE[name], says("Done."))
    step = played(model=model, limits={"tool_calls": 30}, price={"input": 1, "output": 1})

    codes = {
        "thousands of calls": "ai.limit_tool_calls",
        "usage beyond all bounds": "ai.limit_tokens",
    }
    assert (step.status, step.error_code) == (
        ("failed", codes[name]) if name in codes else ("completed", None)
    )
    turn: Any
    for turn in AgentTurn.objects.all():
        assert len(strict_json.canonical([turn.asked, turn.answer])) < 2 * LARGEST_ARGUMENTS
        assert len(turn.name) <= 200
        assert turn.input_tokens >= 0
        assert len((turn.answer or {}).get("calls", [])) <= MOST_CALLS
    if step.output:
        strict_json.check(step.output)
    ids = [result.id for question in model.asked for _, told in question.exchanges for result in told.results]
    assert len(ids) == len(set(ids))
    assert all(ids)


def test_what_was_changed_is_not_kept_as_it_came() -> None:
    """Its history would name two calls by one id."""
    model = Model(HOSTILE["the same id twice"], says("Done."))
    played(model=model)

    ((reply, _),) = model.asked[1].exchanges
    assert reply.raw is None
    assert len({call.id for call in reply.calls}) == 2


def test_what_came_in_order_is_kept_as_it_came() -> None:
    model = Model(raw_of(CallWanted("a", "test_read", {"n": 1})), says("Done."))
    played(model=model)

    ((reply, _),) = model.asked[1].exchanges
    assert reply.raw == {"as": "it came"}
    answer: Any = AgentTurn.objects.get(number=1).answer
    assert answer["raw"] == {"as": "it came"}


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ({"big": "x" * 300_000}, "cut"),
        ("x" * 300_000, "cut"),
        (nested(40), "[[["),
        (list(range(20_000)), "cut"),
        (float("nan"), "step.invalid_output"),
        ({"a": object()}, "step.invalid_output"),
        ("\0", "step.invalid_output"),
        (None, "None"),
    ],
)
def test_whatever_a_tool_returns_the_model_is_told_what_can_be_kept(returned: Any, told: str) -> None:
    ReadTool.script = lambda asked, context: returned
    model = Model(calls(("test_read", {})), says("Done."))
    step = played(model=model)

    assert step.status == "completed"
    (result,) = model.asked[1].exchanges[0][1].results
    assert told in str(result.content)
    assert len(str(result.content)) < 70_000


@pytest.mark.parametrize(
    "output",
    [
        {"text": "x" * 600_000},
        {"deep": nested(31)},
        {"many": list(range(9_000))},
        {"odd": float("inf")},
        {"a" * 300: 1},
    ],
)
def test_an_output_that_cannot_be_kept_is_told_and_then_ends_the_step(output: Any) -> None:
    model = Model(calls(gives(output)))
    step = played(model=model, output_schema={"type": "object"})

    assert (step.status, step.error_code) == ("failed", "ai.invalid_output")
    assert len(model.asked) == 3
    assert model.asked[2].exchanges[0][1].results[0].name == FINAL


def test_the_largest_output_beside_the_most_calls_can_be_kept() -> None:
    ReadTool.script = lambda asked, context: {"values": ["ä" * 50] * 300, "n": nested(25)}
    reads = calls(*[("test_read", {"text": "ö" * 1000, "deep": nested(25)})] * 200)
    largest = {"text": "x" * 500_000, "many": list(range(5_000))}
    step = played(reads, calls(gives(largest)), output_schema={"type": "object"}, limits={"tool_calls": 200})

    assert step.status == "completed"
    strict_json.check(step.output)
    assert len(step.output["tool_calls"]) == 200


def test_a_text_that_was_too_long_was_cut_off() -> None:
    model = Model(says("x" * (LONGEST_TEXT + 1)), says("Short."))
    step = played(model=model)

    assert step.output["output"] == "Short."


def test_the_longest_text_is_an_output() -> None:
    step = played(says("\U0001f600" * LONGEST_TEXT))

    assert step.output["output"] == "\U0001f600" * LONGEST_TEXT


def test_a_secret_that_comes_back_is_kept_nowhere() -> None:
    from executions.secrets import hiding

    def answer(question: Any) -> Reply:
        hiding.remember("very-secret-value")
        return calls(("very-secret-value", {"very-secret-value": "is very-secret-value"}), ("test_read", {}))

    ReadTool.script = lambda asked, context: {"echo": "very-secret-value"}
    step = played(answer, says("It is very-secret-value."))

    kept = str([(turn.name, turn.asked, turn.answer) for turn in AgentTurn.objects.all()])
    assert "very-secret" not in kept + str(step.output)
    assert step.status == "completed"
