"""`http_request`: one request to the outside."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlencode

from pydantic import Field, JsonValue, model_validator

from executions import egress
from executions.egress.headers import is_secret
from executions.egress.retry_after import retry_after_seconds
from executions.egress.urls import MAX_URL_CHARS, parse_target
from executions.secrets import hiding, written_out
from executions.secrets.opening import SecretHeaders
from executions.secrets.sealed import SealedHeader
from executions.steps import http_answers
from executions.steps.http_answers import classify
from executions.steps.http_auth import Auth
from lightfield.kernel import strict_json, traceparent
from lightfield.kernel.errors import (
    PermanentStepError,
    Problem,
    RequestRefused,
    StepError,
    TransientStepError,
)
from workflows.problems import pointer_to
from workflows.secret_text import SecretText
from workflows.step_types import JsonObject, SlowStepType, StepConfig, StepContext, StepOutput, register

__all__ = ["HttpRequest", "HttpRequestConfig", "classify"]

MAX_BODY_BYTES: Final = 1 << 20
# Looking at the answer takes a moment too; the engine's watchdog must not mistake that for an overrun.
MARGIN_SECONDS: Final = 1.0
_OURS: Final = ("idempotency-key", "traceparent")

Scalar = str | int | float | bool
Values = dict[str, Scalar | list[Scalar] | None]


class HttpRequestConfig(StepConfig):
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    url: Annotated[str, Field(min_length=1, max_length=MAX_URL_CHARS)]
    headers: Annotated[dict[str, Scalar | SecretText], Field(default_factory=dict, max_length=90)]
    auth: Annotated[Auth | None, Field(description="who it comes from: type bearer, basic or header")] = None
    query: Annotated[Values, Field(default_factory=dict, max_length=200)]
    json_body: Annotated[JsonValue, Field(alias="json")] = None
    body: str | None = None
    form: Values | None = None
    timeout_seconds: Annotated[float, Field(ge=0.1, le=300)] = 30.0  # one attempt, lookup to last byte
    on_unknown: Literal["retry_same_key", "fail"] = "retry_same_key"
    allow_redirects: bool = False

    @property
    def has_json(self) -> bool:
        return "json_body" in self.model_fields_set  # `"json": null` sends null

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.has_json + (self.body is not None) + (self.form is not None) > 1:
            raise ValueError("Give one of json, body and form.")
        return self

    @model_validator(mode="after")
    def _one_header_of_a_name(self) -> Self:
        if self.auth and self.auth.header_name.lower() in {name.lower() for name in self.headers}:
            raise ValueError(f"The header {self.auth.header_name} stands in headers and comes from auth.")
        return self


class HttpRequestOutput(StepOutput):
    status_code: int
    headers: dict[str, JsonValue]
    body: JsonValue
    encoding: Literal["base64"] | None = None
    truncated: bool = False
    size_bytes: int | None = None  # of the whole body, when it was cut
    headers_truncated: bool = False


@register
class HttpRequest(SlowStepType[HttpRequestConfig]):
    """Send one HTTP request; succeed on 2xx only.

    Config: see `HttpRequestConfig`. Times in seconds. `auth` makes one header; in its texts and in the values of
        headers, and nowhere else, `{{ secret.name }}` may stand: see docs/secrets.md. `query` is added to the URL's own; a list gives a name
        several times, null leaves it out. `timeout_seconds` is the total for one attempt.

    Output: `{"status_code", "headers", "body"}`; header names in lower case, those that tell who somebody is without
        their values. The body is parsed when it is JSON, text otherwise, base64 with `"encoding": "base64"` when it is
        neither. At most 1 MiB is taken, and 256 KiB are kept: the beginning, with `"truncated": true` and `"size_bytes"`.

    Delivery: every attempt sends the same `Idempotency-Key` and its own span of the run's `traceparent`,
        whatever the author's headers say. At most one request leaves per attempt. When no answer arrives, the
        receiver may have acted: the error's `sent` says so, and `on_unknown` decides about another attempt.

    Raises:
        TransientStepError: no connection, no answer in time, or 408, 425, 429, 502, 503, 504; honours
            `Retry-After`. `http.circuit_open` and `http.retry_budget`: nothing was sent, for the host's sake; the engine
            holds the step back and counts no attempt.
        PermanentStepError: every other status outside 2xx (redirects too, unless followed), and what
            `egress.request` refuses. The metadata has `url_host`, `status_code`, `attempt`, `retry_after`
            and the beginning of the answer as `body_excerpt`.

    Source: RFC 9110 section 15 (status codes) and 10.2.3 (Retry-After); W3C Trace Context;
        draft-ietf-httpapi-idempotency-key-header.
    """

    name = "http_request"
    lane = "http"
    summary = "Send an HTTP request"
    Config = HttpRequestConfig
    Output = HttpRequestOutput
    freezes_early = True

    def secrets_go_to(self, config: JsonObject) -> object:
        return config.get("url")

    def warnings(self, config: JsonObject, origins: Mapping[str, str]) -> list[Problem]:  # noqa: ARG002  as all steps
        return list(_written_out(config))

    def freeze(self, config: HttpRequestConfig) -> JsonObject:
        """Raises PermanentStepError: `egress.invalid_url`, `egress.denied_scheme`, `config.invalid`."""
        headers, sealed = _headers(config)
        body, content_type = _body(config)
        given = {name.lower() for name in [*headers, *(header.name for header in sealed)]}
        if content_type and "content-type" not in given:
            headers["Content-Type"] = content_type
        request: JsonObject = {
            "method": config.method,
            "url": parse_target(config.url, config.query).url,
            "headers": headers,
            "body": body,
            "timeout_seconds": config.timeout_seconds,
            "on_unknown": config.on_unknown,
            "allow_redirects": config.allow_redirects,
        }
        if sealed:
            request["sealed_headers"] = [header.as_json() for header in sealed]
        try:
            strict_json.check(request, max_bytes=MAX_BODY_BYTES + 65_536)
        except RequestRefused as error:
            raise PermanentStepError(
                "config.invalid", f"The request cannot be kept: {error.message}", cause=error.code
            ) from None
        return request

    def execute(self, request: JsonObject, context: StepContext) -> JsonObject:
        headers = {
            **request["headers"],
            "Idempotency-Key": context.idempotency_key,
            "traceparent": traceparent.outgoing(context.trace_id),
        }
        seconds = min(request["timeout_seconds"], context.deadline - time.monotonic())
        if seconds <= 0:
            raise TransientStepError("http.timeout", "No time was left to send.", attempt=context.attempt)
        try:
            answer = egress.request(
                method=request["method"],
                url=request["url"],
                headers=headers,
                body=None if request["body"] is None else request["body"].encode(),
                timeout_seconds=seconds,
                allow_redirects=request["allow_redirects"],
                before_sending=context.before_sending,
                late_headers=SecretHeaders(request.get("sealed_headers", ())),
                turn=egress.Turn(is_retry=context.is_retry, held_for=context.held_for),
            )
        except StepError as error:
            error.metadata["attempt"] = context.attempt
            raise
        answer = replace(
            answer, body=hiding.hidden(answer.body), headers=hiding.hidden_fields(answer.headers)
        )
        if classify(answer.status_code).code is None:
            return http_answers.output(answer.status_code, answer.headers, answer.body)
        raise _refusal(answer, request["headers"], context)

    def time_limit(self, request: JsonObject) -> float:
        return float(request["timeout_seconds"]) + MARGIN_SECONDS


def _written_out(config: JsonObject) -> Iterator[Problem]:
    """Secrets that stand there as they are."""
    for name, value in (config.get("headers") or {}).items():
        yield from written_out.in_header(name, value, pointer_to(["headers", name]))
    auth = config.get("auth") or {}
    for field in ("token", "password", "value"):
        yield from written_out.in_slot(auth.get(field), f"/auth/{field}")
    if written_out.looks_issued(str(auth.get("username", ""))):  # some take a key for a user name
        yield from written_out.in_slot(auth["username"], "/auth/username")


def _headers(config: HttpRequestConfig) -> tuple[dict[str, str], list[SealedHeader]]:
    """Headers as text, and those whose values are only there when they are sent."""
    plain: dict[str, str] = {}
    sealed: list[SealedHeader] = []
    for name, value in config.headers.items():
        if name.lower() in _OURS:
            continue
        if isinstance(value, SecretText):
            sealed.append(SealedHeader(name, value))
        else:
            plain[name] = _text(value)
    if config.auth is not None:
        header = config.auth.header()
        # Whatever its name, it says who asks: no redirect takes it to another origin.
        if header.text.names or not is_secret(header.name):
            sealed.append(header)
        else:
            plain[header.name] = header.filled_in({})
    return plain, sealed


def _refusal(answer: egress.Answer, headers: dict[str, str], context: StepContext) -> StepError:
    """The error for a status that is no success. A status opted in by the step is the engine's to retry."""
    verdict = classify(answer.status_code)
    assert verdict.code is not None
    message = f"{answer.url_host} answered {answer.status_code}."
    retry_after = retry_after_seconds(answer.headers, status_code=answer.status_code)
    metadata: dict[str, Any] = {
        "url_host": answer.url_host,
        "status_code": answer.status_code,
        "attempt": context.attempt,
    }
    if answer.body:
        metadata["body_excerpt"] = http_answers.excerpt(answer.body, _secrets(headers))
    if verdict.is_retryable:
        error: StepError = TransientStepError(
            verdict.code, message, retry_after=retry_after, sent=True, answered=True, **metadata
        )
    else:
        error = PermanentStepError(verdict.code, message, sent=True, answered=True, **metadata)
    if retry_after is not None:
        error.metadata["retry_after"] = retry_after
    return error


def _secrets(headers: dict[str, str]) -> set[str]:
    """What must not be stored when a receiver echoes it: secret header values, and their longer words."""
    values = [value for name, value in headers.items() if is_secret(name)]
    words = [word for value in values for word in re.split(r"[\s,;=\"]+", value)]
    return {text for text in values + words if len(text) >= 6}


def _body(config: HttpRequestConfig) -> tuple[str | None, str | None]:
    """The body as text, and its content type unless the author names another."""
    if config.has_json:
        try:
            text = json.dumps(config.json_body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except ValueError:
            raise PermanentStepError("config.invalid", "The json holds NaN or infinity.") from None
        return text, "application/json"
    if config.form is not None:
        pairs = [(name, _text(item)) for name, value in config.form.items() for item in _items(value)]
        try:
            return urlencode(pairs), "application/x-www-form-urlencoded"
        except UnicodeEncodeError:
            raise PermanentStepError("config.invalid", "The form holds half of a surrogate pair.") from None
    return config.body, None if config.body is None else "text/plain; charset=utf-8"


def _items(value: Scalar | list[Scalar] | None) -> list[Scalar]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _text(value: Scalar) -> str:
    """JSON's spelling of true and false; everything else as Python writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
