"""Questions put to real servers of both shapes: what goes out, and what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from executions.agents.asking import ask
from executions.agents.values import CallResult, CallWanted, Reply, Told, ToolSpec, Usage
from executions.egress import current
from lightfield.kernel import strict_json
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from tests.scripted_models import LOOK_UP, a_question, a_scripted_model, spec_of
from tests.scripted_models.wild import HUGE, ODD_ARGUMENTS

BOTH = pytest.mark.parametrize("provider", ["openai", "anthropic"])
FOUND = {"text": "One moment.", "calls": [{"name": "look_up", "arguments": {"email": "a@b.c"}}]}


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> Any:
    settings.LIGHTFIELD_EGRESS_ALLOW = "127.0.0.0/8"
    settings.LIGHTFIELD_OWN_SERVERS = []
    yield
    current.close()


@BOTH
def test_given_a_question_then_its_answer_and_what_it_took_come_back(provider: Any) -> None:
    with a_scripted_model([{"text": "Ada.", "usage": {"input": 120, "output": 7, "cached": 30}}]) as server:
        reply = ask(a_question(spec_of(server, provider)))
    assert (reply.text, reply.calls, reply.finish, reply.model) == ("Ada.", (), "stop", "scripted")
    assert reply.usage == Usage(input_tokens=120, output_tokens=7)  # what came from a cache is among them


@BOTH
def test_given_tools_then_the_model_is_told_of_them_and_its_call_comes_back(provider: Any) -> None:
    with a_scripted_model([FOUND]) as server:
        reply = ask(a_question(spec_of(server, provider), tools=(LOOK_UP,), must_call=True))
        (asked,) = server.asked
    assert reply.calls == (CallWanted("call_1_1", "look_up", {"email": "a@b.c"}),)
    assert (reply.text, reply.finish) == ("One moment.", "tool_calls")
    tool = asked.body["tools"][0]
    told = tool["function"]["parameters"] if provider == "openai" else tool["input_schema"]
    assert told == LOOK_UP.parameters
    assert asked.body["tool_choice"] == ("required" if provider == "openai" else {"type": "any"})


@BOTH
def test_given_a_schema_with_everything_in_it_then_the_model_is_told_all_that_judges_its_arguments(
    provider: Any,
) -> None:
    schema = {
        "type": "object",
        "properties": {
            "who": {"$ref": "#/$defs/who"},
            "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "some": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 3}},
        },
        "required": ["who"],
        "$defs": {"who": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 9, "enum": ["ada", "bob"]}},
    }
    with a_scripted_model([{"text": "x"}]) as server:
        ask(a_question(spec_of(server, provider), tools=(ToolSpec("t", "d", schema),)))
        tool = server.asked[0].body["tools"][0]
    told = tool["function"]["parameters"] if provider == "openai" else tool["input_schema"]
    assert told["properties"]["some"].pop("properties", {}) == {}  # which says nothing
    assert told == schema


@BOTH
def test_given_an_exchange_that_was_kept_then_the_next_question_tells_it(provider: Any) -> None:
    script: list[dict[str, Any]] = [FOUND, {"text": {"$result": "1.name"}}]
    with a_scripted_model(script) as server:
        model = spec_of(server, provider)
        first = ask(a_question(model, tools=(LOOK_UP,)))
        kept = Reply(**{**vars(first), "raw": json.loads(json.dumps(first.raw))})  # as a row gives it back
        told = Told((CallResult("call_1_1", "look_up", {"name": "Ada"}),))
        second = ask(a_question(model, tools=(LOOK_UP,), exchanges=((kept, told),), key="eff_1:turn_2"))
    assert second.text == "Ada"
    assert [asked.turn for asked in server.asked] == [1, 2]


@BOTH
@pytest.mark.parametrize("raw", [None, {"kind": "of another version"}])
def test_given_an_exchange_that_the_library_cannot_read_then_it_is_put_together_from_ours(
    provider: Any, raw: Any
) -> None:
    reply = Reply(
        text="One moment.",
        calls=(CallWanted("c1", "look_up", {"email": "a@b.c"}), CallWanted("c2", "look_up", "{oops")),
        raw=raw,
    )
    told = Told((CallResult("c2", "look_up", "config.invalid", is_error=True),), text="Try again.")
    with a_scripted_model([{"text": "no"}, {"text": "ok"}]) as server:
        ask(a_question(spec_of(server, provider), tools=(LOOK_UP,), exchanges=((reply, told),)))
        (asked,) = server.asked
    sent = json.dumps(asked.body)
    assert "This call was not made." in sent  # the first one has no result, and providers refuse a gap
    assert "Try again." in sent
    assert "oops" in sent
    assert "config.invalid" in sent
    assert asked.turn == 2


def test_given_a_result_that_looks_like_a_link_then_nothing_is_fetched() -> None:
    reply = Reply(calls=(CallWanted("c1", "look_up", {}),))
    with a_scripted_model([{"text": "ok"}]) as server:
        link = {"kind": "image-url", "url": f"{server.url}/picture.png", "force_download": True}
        told = Told((CallResult("c1", "look_up", link),))
        ask(a_question(spec_of(server), exchanges=((reply, told),)))
        assert [asked.turn for asked in server.asked] == [2]


@BOTH
@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_given_an_answer_that_ends_early_then_it_says_how(provider: Any, finish: Any) -> None:
    with a_scripted_model([{"text": "I", "finish": finish}]) as server:
        assert ask(a_question(spec_of(server, provider))).finish == finish


@pytest.mark.parametrize("name", ODD_ARGUMENTS)
def test_given_arguments_that_are_no_object_then_they_come_back_as_text(name: str) -> None:
    with a_scripted_model([{"calls": [{"name": "look_up", "arguments": ODD_ARGUMENTS[name]}]}]) as server:
        reply = ask(a_question(spec_of(server), tools=(LOOK_UP,)))
    assert reply.calls[0].arguments == ODD_ARGUMENTS[name]


@BOTH
def test_given_characters_that_no_row_can_keep_then_they_are_replaced(provider: Any) -> None:
    call = {"name": "a\0b", "arguments": {"email": "\ud800\0"}}
    with a_scripted_model([{"text": "a\0b\udfff", "calls": [call]}]) as server:
        reply = ask(a_question(spec_of(server, provider), tools=(LOOK_UP,)))
    assert (reply.text, reply.calls[0].name) == ("a\ufffdb\ufffd", "a\ufffdb")
    for kept in (reply.raw, reply.calls[0].arguments):
        strict_json.check(kept)


def test_given_a_name_longer_than_a_row_keeps_then_it_is_cut() -> None:
    with a_scripted_model([{"calls": [{"name": "x" * 9999, "arguments": {}}]}]) as server:
        assert ask(a_question(spec_of(server))).calls[0].name == "x" * 200


@BOTH
def test_given_a_provider_that_counts_nothing_or_nonsense_then_the_bodies_are_reckoned(provider: Any) -> None:
    with a_scripted_model([{"text": "x" * 400, "usage": {"input": 0, "output": -5}}]) as server:
        usage = ask(a_question(spec_of(server, provider), prompt="y" * 4000)).usage
    assert usage.input_tokens >= 1000
    assert usage.output_tokens >= 100


def test_given_an_endless_text_then_it_is_refused_at_its_bound() -> None:
    with a_scripted_model(HUGE) as server, pytest.raises(PermanentStepError) as raised:
        ask(a_question(spec_of(server)))
    assert raised.value.code == "http.too_large"


@BOTH
def test_given_a_question_then_its_key_its_trace_and_nothing_of_the_libraries_is_sent(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-of-the-environment")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Somebody: else")
    with a_scripted_model([{"text": "x"}]) as server:
        ask(a_question(spec_of(server, provider), key="eff_7:turn_3"))
        (asked,) = server.asked
    assert asked.headers["idempotency-key"] == "eff_7:turn_3"
    assert asked.headers["traceparent"].split("-")[1] == "ab" * 16
    allowed = {"host", "accept", "accept-encoding", "content-type", "content-length", "user-agent"}
    allowed |= {"idempotency-key", "traceparent", "anthropic-version"}
    assert set(asked.headers) - {""} <= allowed
    assert asked.headers["user-agent"].startswith("Lightfield/")


@BOTH
def test_given_a_limit_of_output_then_the_provider_is_told(provider: Any) -> None:
    with a_scripted_model([{"text": "x"}]) as server:
        ask(a_question(spec_of(server, provider, name="llama3:8b"), most_output_tokens=77))
        ask(a_question(spec_of(server, "openai", name="gpt-5"), most_output_tokens=77))
    assert server.asked[0].body["max_tokens"] == 77
    assert server.asked[1].body["max_completion_tokens"] == 77


def test_given_more_output_than_a_library_wants_to_wait_for_then_it_is_asked_all_the_same() -> None:
    with a_scripted_model([{"text": "x"}]) as server:
        assert ask(a_question(spec_of(server, "anthropic"), most_output_tokens=64_000)).text == "x"


@BOTH
def test_given_a_model_that_is_slow_then_the_question_ends_at_its_time(provider: Any) -> None:
    with a_scripted_model([{"hangs": True}]) as server, pytest.raises(TransientStepError) as raised:
        ask(a_question(spec_of(server, provider), seconds=0.3))
    assert (raised.value.code, raised.value.sent) == ("http.timeout", True)


def test_given_bytes_that_drip_then_the_whole_answer_must_be_there_in_time() -> None:
    with (
        a_scripted_model([{"text": "x", "drip_seconds": 0.05}]) as server,
        pytest.raises(TransientStepError) as raised,
    ):
        ask(a_question(spec_of(server), seconds=0.4))
    assert raised.value.code == "http.timeout"


def test_given_no_time_then_nothing_is_sent() -> None:
    with a_scripted_model([{"text": "x"}]) as server:
        with pytest.raises(TransientStepError) as raised:
            ask(a_question(spec_of(server), seconds=0.0))
        assert (raised.value.code, raised.value.sent, server.asked) == ("http.timeout", False, [])


def test_given_a_schema_that_the_library_cannot_write_then_nothing_is_sent_and_the_error_says_so() -> None:
    tool = ToolSpec("t", "d", {"type": "object", "properties": {"a": {1, 2}}})
    with a_scripted_model([{"text": "x"}]) as server:
        with pytest.raises(PermanentStepError) as raised:
            ask(a_question(spec_of(server), tools=(tool,)))
        assert (raised.value.code, raised.value.sent, server.asked) == ("config.invalid", False, [])
