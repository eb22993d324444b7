"""Providers that refuse, limit, fail or talk nonsense: each is one code, and never an error of a library."""

from __future__ import annotations

from typing import Any

import pytest

from executions.agents.asking import ask
from executions.agents.transport import QuestionTransport, finished
from executions.egress import breaker as breakers
from executions.egress import current
from executions.egress.breaker import Breaker
from lightfield.kernel.errors import LostRace, PermanentStepError, StepError, TransientStepError
from tests.agents import an_agent, play
from tests.scripted_models import a_question, a_scripted_model, spec_of
from tests.scripted_models.wild import BROKEN
from tests.staging import a_run

BOTH = pytest.mark.parametrize("provider", ["openai", "anthropic"])


@pytest.fixture(autouse=True)
def a_fresh_breaker(settings: Any) -> Any:
    settings.LIGHTFIELD_EGRESS_ALLOW = "127.0.0.0/8"
    settings.LIGHTFIELD_OWN_SERVERS = []
    before = current.use_breaker(Breaker())
    yield
    current.use_breaker(before)


def error_of(answer: dict[str, Any], provider: Any = "openai", **more: Any) -> StepError:
    """What asking a model raises that answers so; exactly one request arrived."""
    with a_scripted_model([answer]) as server:
        with pytest.raises(StepError) as raised:
            ask(a_question(spec_of(server, provider), **more))
        assert len(server.asked) == 1
    return raised.value


@BOTH
@pytest.mark.parametrize("name", BROKEN)
def test_given_a_success_that_is_none_then_it_is_an_invalid_answer_with_an_excerpt(
    name: str, provider: Any
) -> None:
    error = error_of(BROKEN[name], provider)
    assert error.code == "ai.invalid_answer", error
    assert (error.retryable, error.sent, error.answered) == (True, True, True)
    assert error.metadata["url_host"] == "127.0.0.1"
    assert "body_excerpt" in error.metadata
    assert len(error.metadata["body_excerpt"]) <= 500


@BOTH
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ai.request_refused"),
        (401, "ai.unauthorized"),
        (402, "ai.quota_exhausted"),
        (403, "ai.unauthorized"),
        (404, "ai.unknown_model"),
        (408, "http.request_timeout"),
        (409, "ai.unavailable"),
        (413, "ai.context_too_long"),
        (422, "ai.request_refused"),
        (429, "ai.rate_limited"),
        (500, "ai.unavailable"),
        (502, "ai.unavailable"),
        (503, "ai.overloaded"),
        (504, "ai.unavailable"),
        (529, "ai.overloaded"),
        (301, "http.redirect"),
    ],
)
def test_given_a_status_then_the_code_says_what_it_means(status: int, code: str, provider: Any) -> None:
    error = error_of({"status": status, "headers": {"location": "/v1/elsewhere"}}, provider)
    assert (error.code, error.answered, error.metadata["status_code"]) == (code, True, status)
    assert isinstance(error, TransientStepError if error.entry.retryable else PermanentStepError)


def test_given_an_overloaded_provider_then_the_step_is_told_when_to_come_again() -> None:
    error = error_of({"status": 529, "headers": {"retry-after": "7"}}, "anthropic")
    assert isinstance(error, TransientStepError)
    assert (error.retry_after, error.metadata["retry_after"]) == (7.0, 7.0)


def test_given_a_provider_that_fails_twice_then_a_question_asked_again_gets_its_answer() -> None:
    with a_scripted_model([{"first": [{"status": 503}, {"status": 429}], "text": "Ada."}]) as server:
        question = a_question(spec_of(server))
        codes = []
        for _ in range(2):
            with pytest.raises(TransientStepError) as raised:
                ask(question)
            codes.append(raised.value.code)
        assert codes == ["ai.overloaded", "ai.rate_limited"]
        assert ask(question).text == "Ada."
        assert server.times(question.key) == 3


def test_given_a_connection_that_breaks_within_the_answer_then_it_is_lost_and_was_sent() -> None:
    error = error_of({"text": "a long answer", "cut": 20})
    assert (error.code, error.sent, error.retryable) == ("http.connection_lost", True, True)


def test_given_a_provider_that_is_not_there_then_nothing_was_sent() -> None:
    with a_scripted_model([]) as server:
        model = spec_of(server)
    with pytest.raises(TransientStepError) as raised:
        ask(a_question(model))
    assert (raised.value.code, raised.value.sent) == ("http.connect_failed", False)


def test_given_an_address_that_steps_may_not_reach_then_egress_refuses(settings: Any) -> None:
    settings.LIGHTFIELD_EGRESS_ALLOW = ""
    with a_scripted_model([{"text": "x"}]) as server:
        with pytest.raises(PermanentStepError) as raised:
            ask(a_question(spec_of(server)))
        assert (raised.value.code.partition(".")[0], server.asked) == ("egress", [])


def test_given_a_step_that_was_taken_over_then_its_question_stays_here() -> None:
    def lost() -> None:
        raise LostRace

    with a_scripted_model([{"text": "x"}]) as server:
        with pytest.raises(LostRace):
            ask(a_question(spec_of(server), before_sending=lost))
        assert server.asked == []


@BOTH
def test_given_a_library_that_asks_twice_then_the_second_request_stays_here(provider: Any) -> None:
    httpx2 = pytest.importorskip("httpx2")
    with a_scripted_model([{"text": "x"}]) as server:
        model = spec_of(server, provider)
        transport = QuestionTransport(a_question(model))
        place = "/chat/completions" if provider == "openai" else "/v1/messages"
        body = {"model": "m", "messages": [], "max_tokens": 1}
        request = httpx2.Request("POST", model.base_url + place, json=body)
        finished(transport.handle_async_request(request))
        with pytest.raises(RuntimeError, match="twice"):
            finished(transport.handle_async_request(request))
        assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 503, 529])
def test_given_a_provider_that_fails_for_many_then_its_circuit_opens_and_questions_wait(
    settings: Any, status: int
) -> None:
    settings.LIGHTFIELD_CIRCUIT_CALLS = 3
    with a_scripted_model([{"status": status}]) as server:
        model = spec_of(server)
        for number in range(3):
            with pytest.raises(TransientStepError):
                ask(a_question(model, key=f"k{number}"))
        with pytest.raises(TransientStepError) as raised:
            ask(a_question(model, key="k4"))
        assert (raised.value.code, raised.value.sent) == (breakers.CIRCUIT_OPEN, False)
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "No credit.", "type": "insufficient_quota", "code": "insufficient_quota"}},
        {"type": "error", "error": {"type": "billing_error", "message": "Your credit balance is too low."}},
    ],
)
@pytest.mark.parametrize("held_for", [None, breakers.CIRCUIT_OPEN])
def test_given_an_account_without_credit_then_its_host_stays_open_to_others(
    settings: Any, said: Any, held_for: Any
) -> None:
    settings.LIGHTFIELD_CIRCUIT_CALLS = 3
    refused = {"status": 429, "headers": {"retry-after": "60"}, "body": said}
    with a_scripted_model({"poor": [refused], "*": [{"text": "Ada."}]}) as server:
        for number in range(6):
            with pytest.raises(PermanentStepError) as raised:
                ask(a_question(spec_of(server, name="poor"), key=f"k{number}", held_for=held_for))
            assert (raised.value.code, raised.value.sent) == ("ai.quota_exhausted", True)
        assert ask(a_question(spec_of(server), key="other")).text == "Ada."
        assert current.current_breaker().take_reports() == []


@pytest.mark.django_db(transaction=True)
def test_given_an_account_without_credit_then_the_step_fails_at_once() -> None:
    said = {"error": {"message": "No credit.", "type": "insufficient_quota", "code": "insufficient_quota"}}
    with a_scripted_model([{"status": 429, "body": said}]) as server:
        place = {"provider": "openai", "name": "poor", "base_url": server.url + "/v1", "api_key": []}
        step = play(a_run(an_agent(model=place)))
        assert len(server.asked) == 1

    assert (step.status, step.error_code, step.attempts) == ("failed", "ai.quota_exhausted", 1)
    assert step.error["metadata"]["provider_message"] == "No credit."


def test_given_more_retries_than_a_host_may_get_then_a_question_is_put_back_unsent(settings: Any) -> None:
    settings.LIGHTFIELD_RETRY_FLOOR, settings.LIGHTFIELD_RETRY_SHARE = 0.1, 0.0
    with a_scripted_model([{"text": "x"}]) as server:
        model = spec_of(server)
        ask(a_question(model, is_retry=True))
        with pytest.raises(TransientStepError) as raised:
            ask(a_question(model, is_retry=True))
        assert (raised.value.code, len(server.asked)) == (breakers.RETRY_BUDGET, 1)
        assert ask(a_question(model, is_retry=True, held_for=breakers.RETRY_BUDGET)).text == "x"


def test_given_a_long_message_of_the_provider_then_its_beginning_is_kept() -> None:
    error = error_of(
        {"status": 400, "body": {"error": {"message": "m" * 9000, "type": "invalid_request_error"}}}
    )
    assert error.metadata["provider_message"] == "m" * 500
    assert error.metadata["provider_code"] == "invalid_request_error"
