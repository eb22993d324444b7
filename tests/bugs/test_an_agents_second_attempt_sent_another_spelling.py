"""The first attempt of an agent sent a tool's request as `freeze` had made it, and the next one as jsonb gave it back.

Fields came in another order, and 1e16 as an integer: another body under the same key, which careful receivers refuse. A model
was told what had been said in another order of fields as well, so that no provider found the beginning that it remembers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from executions.agents import conversations
from executions.agents.values import Question
from lightfield.kernel.errors import TransientStepError
from tests.agents import Model, SendTool, agents_installed, an_agent, asked_of, calls, play, says
from tests.staging import a_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("agents", "promises_kept")]


@pytest.fixture
def agents() -> Iterator[None]:
    with agents_installed():
        yield


UNSORTED = {"zeta": 1e16, "a": {"bb": 1, "a": 2.5}, "Z": -0.0}


def test_given_a_request_that_may_have_been_sent_then_the_next_attempt_sends_the_very_same_text() -> None:
    sent: list[str] = []

    def send(asked: Any, context: Any) -> Any:
        sent.append(json.dumps(asked))
        if len(sent) == 1:
            raise TransientStepError("http.timeout", sent=True)
        return {}

    SendTool.script = send
    run = a_run(an_agent())
    with asked_of(Model(calls(("test_send", UNSORTED)), says("Done."))):
        play(run)
        assert play(run).status == "completed"

    assert sent == [sent[0]] * 2


def test_given_what_was_said_then_a_later_attempt_says_it_in_the_same_words() -> None:
    SendTool.script = lambda asked, context: {"status": 200, "body": {"zeta": 1, "a": 2}}
    model = Model(
        calls(("test_send", {"zeta": 1, "a": 2})),
        TransientStepError("ai.overloaded", sent=True, answered=True),
    )
    run = a_run(an_agent())
    with asked_of(model):
        play(run)
        play(run)

    first, second = model.asked[-2:]
    assert told(first) == told(second)


def told(question: Question) -> list[str]:
    (answer, results) = conversations.messages(question)[1:]
    return [part.args_as_json_str() for part in answer.tool_calls] + [part.content for part in results.parts]  # type: ignore[union-attr]
