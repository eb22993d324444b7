"""What a test's models answer: replies, tool calls, outputs and failures, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from executions.agents.prompting import WRAPPED
from executions.agents.values import FINAL, CallWanted, Question, Reply, Usage
from lightfield.kernel.catalogue import CATALOGUE, Entry, add
from lightfield.kernel.errors import PermanentStepError, TransientStepError

UNFAKED: Final = "testing.unfaked_question"
MODEL: Final = "a-test-s-model"  # as its provider would say it
SHOWN_CHARACTERS: Final = 600  # of what was asked, where nobody answers

_ids = itertools.count(1)

add(
    Entry(
        UNFAKED,
        False,
        None,
        "A test's agent asked its model, and the test has no answer for it.",
        "Call fakes.model with one more answer, or find out why it is asked.",
    )
)


class UnfakedQuestion(AssertionError):
    """An agent asked its model and the test has no answer, or none left. Nothing left the process."""


@dataclass(frozen=True)
class FinalOutput:
    """What `final` makes: its form depends on the schema that the step has."""

    output: Any
    reply: Reply

    def for_question(self, question: Question) -> Reply:
        (schema,) = [tool.parameters for tool in question.tools if tool.name == FINAL] or [{}]
        is_wrapped = list(schema.get("properties", {})) == [WRAPPED]
        given = self.output
        if is_wrapped and not (isinstance(given, dict) and list(given) == [WRAPPED]):
            given = {WRAPPED: given}
        wanted = CallWanted(f"call_{next(_ids)}", FINAL, given)
        return replace(self.reply, calls=(*self.reply.calls, wanted), finish="tool_calls")


@dataclass(frozen=True)
class Failure:
    """What `fails` makes."""

    code: str
    message: str
    metadata: dict[str, Any]

    def error(self) -> TransientStepError | PermanentStepError:
        kind = TransientStepError if CATALOGUE[self.code].retryable else PermanentStepError
        return kind(self.code, self.message or "The test wants it so.", **self.metadata)


Answer: TypeAlias = "str | Reply | FinalOutput | Failure | Callable[[Question], str | Reply | FinalOutput]"


def call(name: str, /, **arguments: Any) -> CallWanted:
    """A tool call that a model wants, for `reply` and `calls`."""
    return CallWanted(f"call_{next(_ids)}", name, arguments)


def reply(text: str = "", *wanted: CallWanted, input_tokens: int = 100, output_tokens: int = 20) -> Reply:
    """A model's answer: its text, and the tool calls that it wants besides."""
    finish = "tool_calls" if wanted else "stop"
    return Reply(text, wanted, Usage(input_tokens, output_tokens), MODEL, finish)  # type: ignore[arg-type]  # both are finishes


def calls(tool: str | CallWanted, /, *more: CallWanted, **arguments: Any) -> Reply:
    """An answer that wants tools called: `calls("find_records", entity="contact")`, `calls(call(…), call(…))`."""
    if isinstance(tool, str):
        tool = call(tool, **arguments)
    elif arguments:
        raise TypeError("arguments go into the call that they are for: calls(call(name, …), …)")
    return reply("", tool, *more)


def final(output: Any, *, text: str = "", input_tokens: int = 100, output_tokens: int = 20) -> FinalOutput:
    """The answer that gives the output of a step with an `output_schema`."""
    return FinalOutput(output, reply(text, input_tokens=input_tokens, output_tokens=output_tokens))


def fails(code: str, message: str = "", **metadata: Any) -> Failure:
    """No answer but an error, `ai.overloaded` or another of the catalogue: retried, if its code is."""
    if code not in CATALOGUE:
        raise ValueError(f"{code!r} is no code of the error catalogue")
    return Failure(code, message, metadata)


def step_of(question: Question) -> str:
    """The key of the step that asks."""
    return effect_key_of(question).rpartition(":")[2]


def effect_key_of(question: Question) -> str:
    return question.key.rpartition(":")[0]


def turn_of(question: Question) -> int:
    """Which turn it is, from 1."""
    return len(question.exchanges) + 1


@dataclass
class ScriptedModel:
    """What one call of `Fakes.model` promised: answers in order. A function answers every question from its turn on."""

    answers: list[Answer]
    step: str | None
    at: int = 0

    def fits(self, question: Question) -> bool:
        return self.at < len(self.answers) and self.step in (None, step_of(question))

    def answer(self, question: Question) -> Reply:
        said = self.answers[self.at]
        if not callable(said):
            self.at += 1
        else:
            said = said(question)
        if isinstance(said, Failure):
            raise said.error()
        if isinstance(said, FinalOutput):
            return said.for_question(question)
        return reply(said) if isinstance(said, str) else said

    def __str__(self) -> str:
        whose = f"of {self.step}" if self.step else "of any step"
        count = len(self.answers)
        return f"{count} answer{'s' if count != 1 else ''} {whose}, {self.at} given"


def told_of(question: Question) -> str:
    """What was asked, for somebody who did not expect it."""
    said = [
        f"Step {step_of(question)} asked its model for turn {turn_of(question)}: {_short(question.prompt)}"
    ]
    if question.exchanges:
        told = question.exchanges[-1][1]
        results = [f"{one.name} {'failed: ' if one.is_error else ''}{one.content}" for one in told.results]
        said.append(f"It was told before: {_short('; '.join(results) or told.text)}")
    tools = ", ".join(tool.name for tool in question.tools)
    said.append(f"It may use {tools or 'no tools'}.")
    return " ".join(said)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…")
