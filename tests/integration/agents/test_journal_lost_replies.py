"""What the journal wrote is there once, although the database's reply was lost or the database was away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from crm.models import Account
from executions.agents.models import AgentTurn
from executions.agents.values import Question, Reply
from tests.agents import (
    Model,
    ReadTool,
    WriteTool,
    an_agent,
    asked_of,
    calls,
    play,
    played,
    says,
    turns_of,
)
from tests.database import django_through_a_proxy
from tests.logged import when_logged
from tests.proxy import Proxy
from tests.staging import a_run, told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


AGAIN = "journal_written_again"


@pytest.fixture
def line() -> Iterator[Proxy]:
    with django_through_a_proxy() as proxy:
        yield proxy


def test_given_a_turn_whose_reply_is_lost_then_it_is_there_once_and_nothing_is_asked_again(
    line: Proxy,
) -> None:
    def answer(question: Question) -> Reply:
        line.lose_the_answer_to(b"the-word-in-the-answer")
        return says("the-word-in-the-answer")

    model = Model(answer)
    with when_logged(AGAIN) as again:
        step = played(model=model)

    assert len(again) == 1
    assert (step.status, step.attempts) == ("completed", 1)
    assert model.turns == [1]
    assert turns_of(step) == [(1, "model", "turn_1", None)]


def test_given_refusals_whose_reply_is_lost_then_the_timeline_tells_them_once(line: Proxy) -> None:
    def read(asked: Any, context: Any) -> Any:
        line.lose_the_answer_to(b"There is no tool")
        return {}

    ReadTool.script = read
    run = a_run(an_agent())
    with asked_of(Model(calls(("test_read", {}), ("rm", {})), says("Done."))), when_logged(AGAIN) as again:
        step = play(run)

    assert len(again) == 1
    assert step.status == "completed"
    assert told(run).count("step.logged") == 1
    assert [kind for _, kind, _, _ in turns_of(step)] == ["model", "tool", "tool", "model"]


@pytest.mark.parametrize("marker", [b"the-name-that-is-written", b"COMMIT"])
def test_given_a_writing_tool_whose_reply_is_lost_then_it_has_written_once(
    line: Proxy, marker: bytes
) -> None:
    """Before its COMMIT it is run again, after it what it wrote is found."""

    def work(asked: Any, context: Any) -> Any:
        if len(WriteTool.called) == 1:
            line.lose_the_answer_to(marker)
        return WriteTool().by_default(asked, context)

    WriteTool.script = work
    model = Model(calls(("test_write", {"name": "the-name-that-is-written"})), says("Done."))
    with when_logged(AGAIN) as again:
        step = played(model=model)

    assert len(again) == 1
    assert (step.status, step.attempts) == ("completed", 1)
    account = Account.objects.get()
    assert model.asked[1].exchanges[0][1].results[0].content == {"id": str(account.pk)}
    assert len(WriteTool.called) == (1 if marker == b"COMMIT" else 2)
    assert AgentTurn.objects.get(number=2).answer == {"id": str(account.pk)}


def test_given_postgresql_away_for_a_moment_then_what_was_answered_is_written_when_it_is_back(
    line: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(question: Question) -> Reply:
        line.refuse()
        return says("Done.")

    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        line.mend()

    monkeypatch.setattr("executions.agents.journal.time.sleep", sleep)
    step = played(answer)

    assert slept
    assert (step.status, step.attempts) == ("completed", 1)
