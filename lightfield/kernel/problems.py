"""Errors as answers: `application/problem+json` (RFC 9457), the same for the API and the webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.http import JsonResponse

from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import LightfieldError, Problem, RequestRefused

CONTENT_TYPE = "application/problem+json"


def problem_body(
    code: str, *, detail: str = "", errors: Sequence[Problem] = (), status: int | None = None
) -> dict[str, object]:
    """The document that tells a caller what went wrong.

    Args:
        code: from the catalogue; it gives title, status and, without `detail`, the remedy as detail.
    """
    entry = CATALOGUE[code]
    return {
        "type": f"/errors/{code}",
        "title": entry.meaning,
        "status": status or entry.status or 500,
        "detail": detail or entry.remedy,
        "code": code,
        "errors": [problem.as_json() for problem in errors],
    }


def problem_json(
    code: str,
    *,
    detail: str = "",
    errors: Sequence[Problem] = (),
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> JsonResponse:
    """That document as a response."""
    body = problem_body(code, detail=detail, errors=errors, status=status)
    return JsonResponse(body, status=body["status"], content_type=CONTENT_TYPE, headers=headers)


def problem_of(error: LightfieldError, *, headers: Mapping[str, str] | None = None) -> JsonResponse:
    """The answer to a request that ended in one of our own errors."""
    errors = error.problems if isinstance(error, RequestRefused) else []
    return problem_json(error.code, detail=error.message, errors=errors, headers=headers)
