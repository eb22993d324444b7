"""All that was said goes out again with every question. It is bounded in bytes, whatever a provider counts."""

from __future__ import annotations

from typing import Any

import pytest

from executions.agents import loop
from executions.agents.asking import ask
from executions.agents.measuring import MOST_BYTES, Conversation
from executions.agents.values import CallResult, CallWanted, Exchange, Reply, Told
from executions.egress import current
from lightfield.kernel.errors import TransientStepError
from tests.agents import Model, ReadTool, an_agent, asked_of, calls, play, played, says, turns_of
from tests.scripted_models import LOOK_UP, a_question, a_scripted_model, spec_of
from tests.staging import a_run

BIG = {"text": "é" * 6_000}  # 12,000 bytes
READS = calls(("test_read", {"n": 1}))
ODD = '"\\\n\x01\x7fé€😀' * 50
RAW = {"kind": "of another version"}


@pytest.mark.django_db(transaction=True)
def test_given_a_conversation_that_has_grown_too_long_then_the_model_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "MOST_BYTES", 25_000)
    monkeypatch.setattr(ReadTool, "script", lambda asked, context: BIG)
    model = Model(READS, READS, READS, READS)
    step = played(model=model)

    assert (step.status, step.error_code) == ("failed", "ai.context_too_long")
    assert model.turns == [1, 2]  # counted as a few tokens each
    assert turns_of(step)[-1] == (4, "tool", "call_2", None)
    metadata = step.error["metadata"]
    assert metadata["limit"] == 25_000 < metadata["bytes"] < 35_000
    assert (metadata["usage"]["turns"], metadata["usage"]["tool_calls"]) == (2, 2)


@pytest.mark.django_db(transaction=True)
def test_given_a_resumed_attempt_then_what_earlier_ones_said_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReadTool, "script", lambda asked, context: BIG)
    model = Model(READS, TransientStepError("ai.overloaded", sent=True, answered=True))
    with asked_of(model):
        run = a_run(an_agent())
        assert play(run).status == "waiting"
        monkeypatch.setattr(loop, "MOST_BYTES", 12_000)
        step = play(run)

    assert (step.status, step.error_code) == ("failed", "ai.context_too_long")
    assert model.turns == [1, 2]
    assert len(ReadTool.called) == 1


@pytest.mark.django_db(transaction=True)
def test_given_a_long_conversation_within_the_bound_then_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReadTool, "script", lambda asked, context: BIG)

    assert played(*[READS] * 8, says("Done.")).status == "completed"
    assert MOST_BYTES == 8 * 1024 * 1024


def _exchanges(raw: Any = None) -> list[Exchange]:
    wanted = (
        CallWanted("c1", "look_up", {"email": ODD, "é": [1, {"a": ODD}]}),
        CallWanted("c2", "look_up", '{"oops" ' + ODD),
        CallWanted("c3", "look_up", {}),
    )
    results = (
        CallResult("c1", "look_up", {"é": ODD, "many": [{"n": n, '"': None} for n in range(100)]}),
        CallResult("c2", "look_up", {"error": {"code": "ai.invalid_arguments", "message": ODD}}, True),
    )
    said = (Reply(text=ODD, calls=wanted, raw=raw), Told(results=results, text=ODD))
    return [said, (Reply(text=ODD, raw=raw), Told(text="Go on.")), (Reply(), Told())]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("raw", [None, RAW])
def test_a_question_is_never_longer_than_what_was_counted(settings: Any, provider: Any, raw: Any) -> None:
    settings.LIGHTFIELD_EGRESS_ALLOW, settings.LIGHTFIELD_OWN_SERVERS = "127.0.0.0/8", []
    said = Conversation("Be brief. " + ODD, "Who? " + ODD, [LOOK_UP])
    answer = {"text": ODD, "calls": [{"name": "look_up", "arguments": {"email": ODD}}] * 3}
    with a_scripted_model([answer]) as server:
        for exchange in [*_exchanges(raw), None, None]:
            more = {"instructions": said.instructions, "prompt": said.prompt, "tools": said.tools}
            reply = ask(a_question(spec_of(server, provider), exchanges=tuple(said.exchanges), **more))
            sent = int(server.asked[-1].headers["content-length"])
            assert sent <= said.bytes <= sent * 2 + 10_000
            # As the library keeps it, too.
            results = tuple(CallResult(call.id, call.name, ODD) for call in reply.calls)
            said.add(exchange or (reply, Told(results=results)))
    current.close()
