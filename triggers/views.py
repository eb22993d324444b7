"""Webhook intake: a raw body in, an event id out. Reached before sessions, messages and CSRF checks.

Whatever the answer, it never tells whether an address exists: a body that is no JSON is refused whatever the address
is, and an unknown, unpublished, paused or archived one, or a bad signature, gets the same bytes.
"""

from __future__ import annotations

import json
import logging

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse

from lightfield.kernel import problems
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import RequestRefused
from triggers import hook_page, intake, services, signatures, throttling, tokens, waiting
from triggers.deliveries import desk
from triggers.deliveries.arrivals import arrived
from triggers.outbox import Captured

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 2

NOT_FOUND = json.dumps(
    problems.problem_body("request.not_found", detail="There is no active webhook at this address.")
).encode()


def receive_webhook(request: HttpRequest, token: str) -> HttpResponse:
    """POST /hooks/<token>. The answers are listed in `docs/webhooks.md`.

    The address is a secret: neither it nor the request, whose repr holds it, is ever logged here.
    """
    if request.method != "POST":
        return hook_page.answer(request)
    client = throttling.client_of(request.META)
    response = _answer_to_post(request, token, client)
    throttling.refused(client, response.status_code)
    return response


def _answer_to_post(request: HttpRequest, token: str, client: str) -> HttpResponse:
    token_hash, arrival = tokens.hash_of(token), None
    try:
        throttling.admit(token_hash, client)
        arrival = arrived(request, token=token, token_hash=token_hash, client=client)
        seconds = waiting.seconds_asked(request.META)
        raw = intake.read_body(request)
        received = services.receive_webhook(
            token=token,
            raw=raw,
            headers=signatures.headers_of(request.META),
            idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY"),
            traceparent=request.META.get("HTTP_TRACEPARENT"),
            arrival=arrival,
        )
    except RequestRefused as refusal:
        if arrival is None:
            desk.note_throttled(token_hash, client)
        else:
            desk.note_refusal(arrival, refusal)
        return problems.problem_of(refusal, headers=_headers_of(refusal))
    except (OperationalError, InterfaceError) as error:
        logger.warning("webhook_not_captured", extra={"error": type(error.__cause__ or error).__name__})
        return problems.problem_json(
            "engine.database_unavailable", headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
        )
    except Exception:
        logger.exception("webhook_failed")  # Django's own handler would log the address
        return problems.problem_json("engine.internal")
    crashpoint("CP-W3")
    captured = received.captured
    if seconds and captured is not None and captured.has_same_body:
        ended = waiting.until_ended(captured.event_id, seconds, client=request.META.get("gunicorn.socket"))
        if ended is not None:
            return _answer_with(captured, ended)
    return _answer(captured)


def _headers_of(refusal: RequestRefused) -> dict[str, str]:
    after = refusal.metadata.get("retry_after")
    return {} if after is None else {"Retry-After": str(after)}


def _answer_with(captured: Captured, ended: waiting.Ended) -> HttpResponse:
    """200 with what the run came to."""
    told = {"event_id": str(captured.event_id), "duplicate": captured.is_duplicate, **ended.as_json()}
    return HttpResponse(json.dumps(told, ensure_ascii=False), content_type="application/json")


def _answer(captured: Captured | None) -> HttpResponse:
    if captured is None:
        return HttpResponse(NOT_FOUND, status=404, content_type=problems.CONTENT_TYPE)
    if not captured.has_same_body:
        return problems.problem_json("idempotency.body_mismatch")
    body = f'{{"event_id":"{captured.event_id}","duplicate":{"true" if captured.is_duplicate else "false"}}}'
    return HttpResponse(body, status=200 if captured.is_duplicate else 202, content_type="application/json")
