"""What a browser may do with the admin's pages: the second lock, should escaping ever be forgotten somewhere.

No script but our own files runs, and nothing is fetched from or sent to another host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponseBase

ADMIN: Final = "/admin/"

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",  # Alpine, which unfold's menus are written in, evaluates attributes
        "style-src 'self' 'unsafe-inline'",  # unfold writes the colours into the page
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)


class ContentPolicy:
    """Middleware: the policy on every answer under /admin/, nothing elsewhere."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.path_info.startswith(ADMIN):
            response.headers["Content-Security-Policy"] = POLICY
        return response
