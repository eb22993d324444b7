"""A replay of an agent that had failed by a limit, or by what a provider answered, sent everything again under new keys.

Its effect is decided then ("done": an answer came), and such an effect gives its key to no replay. Whether an agent looks for
the keys of what it sent was seen by that key. And a request that was taken, but whose answer was of no use, counted as refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from executions import services
from executions.models import Effect, Run
from lightfield.kernel.errors import PermanentStepError
from tests.agents import Model, SendTool, agents_installed, an_agent, asked_of, calls, play, says
from tests.factories import BY
from tests.staging import a_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("agents", "promises_kept")]


@pytest.fixture
def agents() -> Iterator[None]:
    with agents_installed():
        yield


PAYS = calls(("test_send", {"pay": 100}))


def keys_of_a_replay(*ends: Any, **config: Any) -> tuple[Run, list[str]]:
    """The keys under which the same request left in the run and in its replay."""
    run = a_run(an_agent(**config))
    with asked_of(Model(PAYS, *ends)):
        assert play(run).status == "failed"
    assert Effect.objects.get().status == "done"
    again = services.replay_run(run_id=run.pk, by=BY)
    with asked_of(Model(PAYS, says("Done."))):
        play(again)
    return run, [context.key for _, context in SendTool.called]


def test_given_an_agent_that_failed_by_its_limit_when_replayed_then_what_it_sent_keeps_its_key() -> None:
    run, keys = keys_of_a_replay(limits={"turns": 1})

    assert keys == [f"{run.pk}:agent:call_1"] * 2


def test_given_an_agent_whose_provider_refused_when_replayed_then_what_it_sent_keeps_its_key() -> None:
    refused = PermanentStepError("ai.unauthorized", sent=True, answered=True, status_code=401)
    run, keys = keys_of_a_replay(refused)

    assert keys == [f"{run.pk}:agent:call_1"] * 2


def test_given_a_request_that_was_taken_with_an_unusable_answer_then_a_replay_keeps_its_key() -> None:
    def take_it(asked: Any, context: Any) -> Any:
        raise PermanentStepError("http.too_large", sent=True, answered=True, status_code=200)

    SendTool.script = take_it
    run, keys = keys_of_a_replay(limits={"turns": 1})

    assert keys == [f"{run.pk}:agent:call_1"] * 2


@pytest.mark.parametrize(
    ("status", "is_kept"), [(200, True), (402, False), (409, True), (429, True), (503, True)]
)
def test_given_a_status_that_is_told_to_the_model_then_only_a_refusal_gets_a_new_key(
    status: int, is_kept: bool
) -> None:
    SendTool.script = lambda asked, context: {"status_code": status}
    _, (first, second) = keys_of_a_replay(limits={"turns": 1})

    assert (first == second) is is_kept
