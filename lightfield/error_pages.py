"""`/errors/<code>`: where the `type` of a refusal leads. A page for people, JSON for programs, the same to everybody.

Nothing of the installation is in it: what it says stands in docs/errors.md too.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.problems import problem_json

KEPT: Final = "public, max-age=3600"


@require_safe
def error_page(request: HttpRequest, code: str) -> HttpResponseBase:
    """The entry of one code."""
    entry = CATALOGUE.get(code)
    if not _wants_a_page(request):
        if entry is None:
            return problem_json("request.not_found", detail=f"There is no error code {code[:80]}.")
        return _kept(JsonResponse({"type": f"/errors/{code}", **asdict(entry)}))
    if entry is None:
        return render(request, "lightfield/no_such_error.html", {"code": code[:80]}, status=404)
    return _kept(render(request, "lightfield/error.html", {"entry": entry}))


def _wants_a_page(request: HttpRequest) -> bool:
    return request.get_preferred_type(["application/json", "text/html"]) == "text/html"


def _kept(answer: HttpResponse) -> HttpResponse:
    answer.headers["Cache-Control"] = KEPT
    answer.headers["Vary"] = "Accept"
    return answer
