"""Webhook intake: a raw body in, an event id out. Reached before sessions, messages and CSRF checks.

Whatever the answer, it never tells whether an address exists: the body is judged before the address is looked
up, and an unknown, unpublished, paused or archived one gets the same bytes.
"""

from __future__ import annotations

import json
import logging

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse

from lightfield.kernel import problems
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import RequestRefused
from triggers import intake, services
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
        return _refuse_method(request)
    arrival = arrived(request, token)
    try:
        raw = intake.read_body(request)
        captured = services.receive_webhook(
            token=token,
            raw=raw,
            idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY"),
            traceparent=request.META.get("HTTP_TRACEPARENT"),
            arrival=arrival,
        )
    except RequestRefused as refusal:
        desk.note_refusal(arrival, refusal)
        return problems.problem_of(refusal)
    except (OperationalError, InterfaceError) as error:
        logger.warning("webhook_not_captured", extra={"error": type(error.__cause__ or error).__name__})
        return problems.problem_json(
            "engine.database_unavailable", headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
        )
    except Exception:
        logger.exception("webhook_failed")  # Django's own handler would log the address
        return problems.problem_json("engine.internal")
    crashpoint("CP-W3")
    return _answer(captured)


def _answer(captured: Captured | None) -> HttpResponse:
    if captured is None:
        return HttpResponse(NOT_FOUND, status=404, content_type=problems.CONTENT_TYPE)
    if not captured.has_same_body:
        return problems.problem_json("idempotency.body_mismatch")
    body = f'{{"event_id":"{captured.event_id}","duplicate":{"true" if captured.is_duplicate else "false"}}}'
    return HttpResponse(body, status=200 if captured.is_duplicate else 202, content_type="application/json")


def _refuse_method(request: HttpRequest) -> HttpResponse:
    response = problems.problem_json(
        "request.method_not_allowed", detail="A webhook address takes POST.", headers={"Allow": "POST"}
    )
    if request.method == "HEAD":
        response.content = b""
    return response
