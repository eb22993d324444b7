"""How a question leaves: the libraries' HTTP transport, which sends one request through `executions.egress` and no second one.

The libraries are asynchronous and the engine is not: Django refuses the database inside a running event loop, and a step's secrets
are read, and its circuit is asked, right when it sends. So there is no event loop. A question waits for nothing but its answer, and
the transport waits for that as everything else here does: it blocks. `finished` drives such a coroutine to its end. Nothing is left
open: neither a loop with its files, nor a task, nor a thread. Why so: docs/adr/0024-models-without-an-event-loop.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final, TypeVar

import httpx2

from executions import egress
from executions.agents import model_errors
from executions.agents.keys import key_of
from executions.agents.values import Question
from executions.egress import Answer, Turn
from executions.egress.urls import parse_target
from executions.secrets import hiding
from lightfield.kernel import strict_json, traceparent
from lightfield.kernel.errors import RequestRefused, TransientStepError

# All that goes out of what a library would send. The rest is its telemetry, and what it finds in this process's environment.
_SENT: Final = ("content-type", "accept", "anthropic-version", "anthropic-beta")
# Texts that PostgreSQL cannot keep: half of a surrogate pair, and U+0000.
_UNSTORABLE: Final = {0: "\ufffd", **dict.fromkeys(range(0xD800, 0xE000), "\ufffd")}

T = TypeVar("T")


def finished(question: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nothing but our transport."""
    try:
        question.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a StopIteration carries anything
    question.close()
    raise RuntimeError("a library waited for something other than the answer to its question")


class QuestionTransport(httpx2.AsyncBaseTransport):
    """One question on its way. Raises what `egress.request` does, and `ai.*` for every answer that is no message of a model."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._deadline = time.monotonic() + question.seconds
        self._is_sent = False
        self.answer: Answer | None = None
        self.error: Exception | None = None  # what this raised: a library may make of it what it likes
        self.asked_bytes = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return self._exchanged(request)
        except Exception as error:
            self.error = error
            raise

    def _exchanged(self, request: httpx2.Request) -> httpx2.Response:
        if self._is_sent:
            raise RuntimeError("a library asked twice")
        self._is_sent = True
        self.asked_bytes = len(request.content)
        answer = self._send(request)
        self.answer = answer = replace(
            answer, body=hiding.hidden(answer.body), headers=hiding.hidden_fields(answer.headers)
        )
        if not 200 <= answer.status_code < 300:
            raise model_errors.refusal(answer, self._question.model.name)
        # What the library keeps of headers, cookies for one, is nobody's.
        return httpx2.Response(
            200, headers={"content-type": "application/json"}, content=self._json(answer), request=request
        )

    def _send(self, request: httpx2.Request) -> Answer:
        question = self._question
        left = self._deadline - time.monotonic()
        host = parse_target(str(request.url)).host
        if left <= 0:
            raise TransientStepError("http.timeout", "No time was left to ask the model.", url_host=host)
        headers = {name: request.headers[name] for name in _SENT if name in request.headers}
        return egress.request(
            method="POST",
            url=str(request.url),
            headers={
                **headers,
                "Idempotency-Key": question.key,
                "traceparent": traceparent.outgoing(question.trace_id),
            },
            body=request.content,
            timeout_seconds=left,
            before_sending=question.before_sending,
            late_headers=key_of(question.model),
            turn=Turn(is_retry=question.is_retry, held_for=question.held_for),
            is_own_fault=model_errors.is_of_the_account,
        )

    def _json(self, answer: Answer) -> bytes:
        """The body, judged: an object that can be kept. Raises TransientStepError: `ai.invalid_answer`."""
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "text/event-stream":
            raise self.invalid("it streams, although it was not asked to.")
        if media_type and media_type != "application/json" and not media_type.endswith("+json"):
            raise self.invalid(f"its content type is {media_type[:60]}.")
        try:
            told = strict_json.parse(answer.body, max_bytes=len(answer.body))
        except RequestRefused as flaw:
            if flaw.code not in ("payload.nul_character", "payload.lone_surrogate"):
                raise self.invalid(flaw.message) from None
            told = _storable(json.loads(answer.body))
        if not isinstance(told, dict):
            raise self.invalid("it is no JSON object.")
        return json.dumps({**told, "usage": _counted(told["usage"])} if "usage" in told else told).encode()

    def invalid(self, why: str) -> TransientStepError:
        """The error for an answer that has come and is of no use."""
        assert self.answer is not None
        return model_errors.invalid_answer(self.answer, why, self._question.model.name)


def _counted(usage: Any) -> Any:
    """The same account without numbers that count nothing: the libraries would warn of them for ever."""
    if isinstance(usage, dict):
        return {name: _counted(number) for name, number in usage.items()}
    return max(0, int(usage)) if isinstance(usage, int | float) and not isinstance(usage, bool) else usage


def _storable(value: Any) -> Any:
    """The same JSON, without what no row can keep. Its depth and size have been judged."""
    if isinstance(value, str):
        return value.translate(_UNSTORABLE)
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value
