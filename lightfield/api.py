"""Where an error becomes an answer: every one leaves as application/problem+json (RFC 9457) with a code.

What is not foreseen becomes `engine.internal`: the log has the traceback, the answer has not.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any, Final

from django.core import exceptions as django
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponseBase
from django.views import defaults
from rest_framework import exceptions as drf
from rest_framework.response import Response

from lightfield.access.auth import REALM
from lightfield.kernel import sql
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import LightfieldError, LostRace, Problem, RequestRefused
from lightfield.kernel.problems import CONTENT_TYPE, problem_body, problem_json

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS: Final = 5  # a database server that restarts is usually back by then

CODES: Final[dict[type[Exception], str]] = {
    LostRace: "request.conflict",
    Http404: "request.not_found",
    django.ObjectDoesNotExist: "request.not_found",
    drf.NotFound: "request.not_found",
    drf.NotAuthenticated: "auth.missing",
    drf.AuthenticationFailed: "auth.invalid",
    drf.PermissionDenied: "auth.forbidden",
    django.PermissionDenied: "auth.forbidden",
    drf.MethodNotAllowed: "request.method_not_allowed",
    drf.UnsupportedMediaType: "payload.unsupported_type",
    drf.ParseError: "payload.invalid_json",
    drf.ValidationError: "request.invalid",
    drf.Throttled: "request.throttled",
    django.RequestDataTooBig: "payload.too_large",
    django.SuspiciousOperation: "request.invalid",
    OperationalError: "engine.database_unavailable",
    InterfaceError: "engine.database_unavailable",
}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Answer an error raised in an API view. Never None: no error reaches Django's own pages."""
    code = _code_of(error)
    status = CATALOGUE[code].status or 500
    if status == 500:
        logger.error("request_failed", exc_info=error, extra=_asked(context))
    elif code == "engine.database_unavailable":
        logger.warning("database_unavailable", extra={"error": type(error).__name__, **_asked(context)})
    body = problem_body(code, detail=_detail_of(error), errors=list(_problems_of(error)))
    return Response(body, status=status, headers=_headers_of(error, code), content_type=CONTENT_TYPE)


def _code_of(error: Exception) -> str:
    """The catalogue's code; the nearest class of the error decides."""
    if isinstance(error, LightfieldError):
        return error.code if error.entry.status is not None else "engine.internal"
    if sql.sqlstate(error) == sql.IDLE_TOO_LONG:  # to psycopg an internal error, to us a lost connection
        return CODES[OperationalError]
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), "engine.internal")


def _detail_of(error: Exception) -> str:
    """What is known beyond the catalogue's own sentence; only texts of ours, never an exception's."""
    if isinstance(error, LightfieldError) and error.message != error.entry.meaning:
        return error.message
    return ""


def _problems_of(error: Exception) -> Iterator[Problem]:
    if isinstance(error, RequestRefused):
        yield from error.problems
    elif isinstance(error, drf.ValidationError):
        yield from _flattened(error.detail, "")


def _flattened(detail: Any, pointer: str) -> Iterator[Problem]:
    """DRF's nested errors as one list; non-field errors stand at their object."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _flattened(inner, pointer if name == "non_field_errors" else f"{pointer}/{name}")
    elif isinstance(detail, list):
        for place, inner in enumerate(detail):
            yield from _flattened(inner, f"{pointer}/{place}" if isinstance(inner, dict) else pointer)
    else:
        yield Problem(pointer, "request.invalid", str(detail))


def _headers_of(error: Exception, code: str) -> dict[str, str]:
    if CATALOGUE[code].status == 401:
        return {"WWW-Authenticate": REALM}
    if isinstance(error, drf.Throttled):
        return {"Retry-After": str(math.ceil(getattr(error, "wait", None) or 1))}
    if code == "idempotency.in_flight":
        return {"Retry-After": "1"}
    if code == "engine.database_unavailable":
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return {}


def _asked(context: dict[str, Any]) -> dict[str, str]:
    request = context.get("request")
    return {} if request is None else {"method": request.method, "path": request.path}


# What happens outside the API's views: no such address, a host that is not ours, a middleware that failed.
# `/api/` gets JSON here too; people in the admin get pages.


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return (
        problem_json("request.not_found") if _is_api(request) else defaults.page_not_found(request, exception)
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    return problem_json("request.invalid") if _is_api(request) else defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    return problem_json("engine.internal") if _is_api(request) else defaults.server_error(request)


def _is_api(request: HttpRequest) -> bool:
    return f"{request.path}/".startswith("/api/")
