"""What providers say when they refuse, by the words that they were seen to use."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from executions.agents.model_errors import invalid_answer, refusal, wish_of
from executions.egress import Answer
from lightfield.kernel.errors import PermanentStepError, TransientStepError


def answer(status: int, body: Any, **headers: str) -> Answer:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, raw, "api.example.com", 0.1)


def openai(
    message: str = "no", code: str | None = None, kind: str = "invalid_request_error"
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(kind: str, message: str = "no") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        # no money
        (429, openai(code="insufficient_quota", kind="insufficient_quota"), "ai.quota_exhausted"),
        (429, openai("You exceeded your current quota, please check your plan"), "ai.quota_exhausted"),
        (
            400,
            anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
            "ai.quota_exhausted",
        ),
        (403, anthropic("billing_error"), "ai.quota_exhausted"),
        (402, {"error": {"message": "Insufficient credits", "code": 402}}, "ai.quota_exhausted"),
        (429, openai(code="billing_not_active", kind="billing_not_active"), "ai.quota_exhausted"),
        (
            400,
            anthropic("invalid_request_error", "You have reached your specified API usage limits."),
            "ai.quota_exhausted",
        ),
        (429, {"error": "Your team has used all available credits."}, "ai.quota_exhausted"),
        # … which comes back by itself
        (
            429,
            [{"error": {"code": 429, "message": "You exceeded your current quota. Please retry in 17.3s."}}],
            "ai.rate_limited",
        ),
        (
            429,
            [{"error": {"code": 429, "message": "You exceeded your current quota."}}],
            "ai.quota_exhausted",
        ),
        # too many, too much
        (429, openai(code="rate_limit_exceeded", kind="requests"), "ai.rate_limited"),
        (429, anthropic("rate_limit_error"), "ai.rate_limited"),
        (429, "slow down", "ai.rate_limited"),
        (529, anthropic("overloaded_error", "Overloaded"), "ai.overloaded"),
        (500, anthropic("overloaded_error", "Overloaded"), "ai.overloaded"),
        (503, openai(code="server_is_overloaded"), "ai.overloaded"),
        (500, anthropic("api_error"), "ai.unavailable"),
        (520, "<html>web server is returning an unknown error</html>", "ai.unavailable"),
        # too long
        (400, openai("This model's maximum context length is 8192 tokens."), "ai.context_too_long"),
        (400, openai(code="context_length_exceeded"), "ai.context_too_long"),
        (
            400,
            anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
            "ai.context_too_long",
        ),
        (
            400,
            anthropic("invalid_request_error", "input length and `max_tokens` exceed context limit"),
            "ai.context_too_long",
        ),
        (413, anthropic("request_too_large"), "ai.context_too_long"),
        (422, {"detail": "Input is too long for requested model."}, "ai.context_too_long"),
        # filtered
        (400, openai("filtered", code="content_filter"), "ai.content_filtered"),
        (
            400,
            openai(
                "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
            ),
            "ai.content_filtered",
        ),
        (
            400,
            {"error": {"message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
            "ai.content_filtered",
        ),
        # who, and what
        (401, openai(code="invalid_api_key"), "ai.unauthorized"),
        (400, openai(code="invalid_api_key"), "ai.unauthorized"),
        (403, anthropic("permission_error"), "ai.unauthorized"),
        (404, openai(code="model_not_found"), "ai.unknown_model"),
        (404, anthropic("not_found_error", "model: claude-x"), "ai.unknown_model"),
        (400, openai(code="model_not_found"), "ai.unknown_model"),
        (400, openai("Invalid schema for function 'f'"), "ai.request_refused"),
        (418, "", "ai.request_refused"),
        # bodies that say nothing
        (400, "", "ai.request_refused"),
        (400, [], "ai.request_refused"),
        (400, {"error": "plain"}, "ai.request_refused"),
        (400, {"error": {"message": 7, "code": ["x"], "type": {}}}, "ai.request_refused"),
        (408, "", "http.request_timeout"),
        (425, "", "http.too_early"),
        (302, "", "http.redirect"),
    ],
)
def test_given_a_refusal_then_its_code_is_what_it_means(status: int, body: Any, code: str) -> None:
    error = refusal(answer(status, body), "gpt-5")
    assert error.code == code
    assert type(error) is (TransientStepError if error.entry.retryable else PermanentStepError)
    assert (error.sent, error.answered, error.metadata["model"]) == (True, True, "gpt-5")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "99999999999"}, 3600.0),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2.0),
        ({"x-ratelimit-reset": "4"}, 4.0),
        # the limit of which nothing is left counts
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "5"}, None),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}, 360.0),
        ({"x-ratelimit-reset-tokens": "120ms", "x-ratelimit-reset-requests": "1h2m3.5s"}, 3600.0),
        ({"x-ratelimit-reset-tokens": "soon"}, None),
        ({"anthropic-ratelimit-tokens-reset": "2020-01-01T00:00:00Z"}, 0.0),
        ({"anthropic-ratelimit-tokens-reset": "not an instant"}, None),
        ({}, None),
    ],
)
def test_given_a_limit_then_the_wish_to_be_left_alone_is_read(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert wish_of(headers, status_code=429) == seconds


def test_given_a_limit_that_is_filled_at_an_instant_then_it_is_waited_for() -> None:
    until = (datetime.now(UTC) + timedelta(seconds=1000)).isoformat()
    wish = wish_of({"anthropic-ratelimit-input-tokens-reset": until}, status_code=429)
    assert wish is not None
    assert 900 < wish <= 1000


def test_given_another_status_then_limits_say_nothing() -> None:
    assert wish_of({"x-ratelimit-reset-tokens": "6m0s"}, status_code=503) is None


def test_given_an_answer_that_is_none_then_the_error_quotes_its_beginning() -> None:
    error = invalid_answer(answer(200, "<html>" + "x" * 9000), "it is no JSON object.", "gpt-5")
    assert (error.code, len(error.metadata["body_excerpt"])) == ("ai.invalid_answer", 500)
