"""What a provider's refusal means: whose fault it is, whether trying again helps, and when. Pure but for the clock.

Sources: OpenAI's "Error codes", Anthropic's "Errors" and "Rate limits"; the words of vLLM, Groq, OpenRouter and Azure for what the
former have codes for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from executions.egress import Answer
from executions.egress.retry_after import CAP_SECONDS, retry_after_seconds
from executions.steps.http_answers import classify, excerpt
from lightfield.kernel import strict_json
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import PermanentStepError, RequestRefused, StepError, TransientStepError

MESSAGE_CHARS: Final = 500  # kept of what a provider says
_QUOTA = frozenset(
    {
        *("insufficient_quota", "billing_hard_limit_reached", "credit_balance_exhausted", "billing_error"),
        *(
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "exceeded_current_quota_error",
        ),
        *("organization_usage_limit_exceeded", "billing_not_active"),
    }
)
_QUOTA_WORDS = (
    *("credit balance is too low", "insufficient balance", "exceeded your current quota"),
    *("reached your specified api usage limits", "used all available credits", "monthly spending limit"),
)
_COMES_BACK = "please retry in"  # what Gemini calls a quota is of a minute, and says so in the same words
_LENGTH = frozenset({"context_length_exceeded", "request_too_large", "string_above_max_length"})
_LENGTH_WORDS = (
    *("maximum context length", "context window", "context length", "context limit", "prompt is too long"),
    *("reduce the length of the messages", "input is too long", "maximum number of tokens"),
)
_FILTERED = frozenset({"content_filter", "content_policy_violation", "responsibleaipolicyviolation"})
_FILTERED_WORDS = (
    "content management policy",
    "content filter",
    "flagged by moderation",
    "moderation system",
)
_OVERLOADED = frozenset({"overloaded_error", "overloaded", "server_is_overloaded", "engine_overloaded"})
_UNAUTHORIZED = frozenset({"invalid_api_key", "authentication_error", "permission_error", "api_key_invalid"})
_UNKNOWN_MODEL = frozenset({"model_not_found", "not_found_error", "deploymentnotfound"})
# What is wrong with a request: the code, what providers call it, and how those say it that do not.
_OF_REQUESTS: Final = (
    ("ai.context_too_long", _LENGTH, _LENGTH_WORDS),
    ("ai.content_filtered", _FILTERED, _FILTERED_WORDS),
    ("ai.unauthorized", _UNAUTHORIZED, ()),
    ("ai.unknown_model", _UNKNOWN_MODEL, ()),
)

_BY_STATUS: Final = {
    401: "ai.unauthorized",
    402: "ai.quota_exhausted",
    403: "ai.unauthorized",
    404: "ai.unknown_model",
    409: "ai.unavailable",
    413: "ai.context_too_long",
    429: "ai.rate_limited",
    503: "ai.overloaded",
    529: "ai.overloaded",
}


def refusal(answer: Answer, model: str) -> StepError:
    """The error for a status outside 2xx. Its body has been searched for secrets already."""
    said, words = _said(answer.body)
    code = _code(answer.status_code, words, said.lower())
    metadata: dict[str, Any] = {
        "url_host": answer.url_host,
        "status_code": answer.status_code,
        "model": model,
        "provider_message": said[:MESSAGE_CHARS] or excerpt(answer.body),
    }
    if words:
        metadata["provider_code"] = " ".join(sorted(words))[:100]
    message = f"{answer.url_host} answered {answer.status_code}. {CATALOGUE[code].meaning}"
    if not CATALOGUE[code].retryable:
        return PermanentStepError(code, message, sent=True, answered=True, **metadata)
    wish = wish_of(answer.headers, status_code=answer.status_code)
    error = TransientStepError(code, message, retry_after=wish, sent=True, answered=True, **metadata)
    if wish is not None:
        error.metadata["retry_after"] = wish
    return error


def is_of_the_account(answer: Answer) -> bool:
    """It refuses one account, which has no credit left, whatever its status says: the host is well, and serves the others."""
    said, words = _said(answer.body)
    return _code(answer.status_code, words, said.lower()) == "ai.quota_exhausted"


def invalid_answer(answer: Answer, why: str, model: str) -> TransientStepError:
    """A success that is none: it cannot be read as what the API promises."""
    return TransientStepError(
        "ai.invalid_answer",
        f"{answer.url_host} answered with what its API does not promise: {why}",
        sent=True,
        answered=True,
        url_host=answer.url_host,
        status_code=answer.status_code,
        model=model,
        body_excerpt=excerpt(answer.body),
    )


def _code(status: int, words: frozenset[str], said: str) -> str:
    """Codes and types first, then words, then the status: one status means several things."""
    if words & _QUOTA or (_COMES_BACK not in said and any(word in said for word in _QUOTA_WORDS)):
        return "ai.quota_exhausted"
    if words & _OVERLOADED:
        return "ai.overloaded"
    if status in (400, 413, 422):
        for code, meant, spelled in _OF_REQUESTS:
            if words & meant or any(word in said for word in spelled):
                return code
    if status in (408, 425) or 300 <= status < 400:
        return str(classify(status).code)
    return _BY_STATUS.get(status, "ai.unavailable" if status >= 500 else "ai.request_refused")


def _said(body: bytes) -> tuple[str, frozenset[str]]:
    """A provider's message, and its codes and types in lower case."""
    try:
        told = strict_json.parse(body, max_bytes=len(body))
    except RequestRefused:
        return "", frozenset()
    if isinstance(told, list) and told:  # as Gemini wraps it
        told = told[0]
    if not isinstance(told, dict):
        return "", frozenset()
    error = told.get("error", told)
    if not isinstance(error, dict):
        return (error, frozenset()) if isinstance(error, str) else ("", frozenset())
    inner = error.get("innererror")
    words = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    message = error.get("message") or error.get("detail")
    return (
        message if isinstance(message, str) else "",
        frozenset(
            str(word).lower() for word in words if isinstance(word, str | int) and word not in ("", "error")
        ),
    )


def wish_of(headers: Mapping[str, str], *, status_code: int) -> float | None:
    """Seconds until the provider wants to be asked again, 0 to 3600; None when it does not say.

    `retry-after-ms` is finer than Retry-After. Of a 429 that has neither, the limits that are used up say when they are filled.
    """
    milliseconds = _NUMBER.fullmatch(headers.get("retry-after-ms", "").strip()[:20])
    if milliseconds is not None:
        return min(float(milliseconds[0]) / 1000, CAP_SECONDS)
    wish = retry_after_seconds(headers, status_code=status_code)
    if wish is None and status_code == 429:
        wish = max(_resets(headers), default=None)
    return None if wish is None else min(wish, CAP_SECONDS)


_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?")
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LIMIT = re.compile(r"(anthropic-ratelimit-[a-z-]+|x-ratelimit)-reset(-requests|-tokens|)")


def _resets(headers: Mapping[str, str]) -> Iterator[float]:
    """Of each limit of which nothing remains."""
    for name, value in headers.items():
        limit = _LIMIT.fullmatch(name)
        if limit is None or headers.get(f"{limit[1]}-remaining{limit[2]}", "0").strip() != "0":
            continue
        seconds = _span(value[:40].strip())
        if seconds is not None:
            yield seconds


def _span(text: str) -> float | None:
    """`6m0s`, `120ms`, or an instant as RFC 3339 writes it."""
    parts = _SPAN.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        until = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds()) if until.tzinfo is not None else None
