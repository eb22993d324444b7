"""Every address of the installation."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import admin
from django.http import HttpRequest, HttpResponseBase
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.routers import SimpleRouter

from crm import api as crm
from executions.api import DeliveryViewSet, EventViewSet, RunViewSet, WorkflowViewSet
from executions.circuits.api import CircuitViewSet
from lightfield import error_pages, health
from lightfield.access.credential_api import CredentialViewSet
from lightfield.access.errors_api import ErrorViewSet
from lightfield.examples_api import ExampleViewSet
from triggers.presets_api import WebhookPresetViewSet
from triggers.views import receive_webhook
from triggers.watchables_api import WatchableViewSet
from workflows.step_types_api import StepTypeViewSet

HOOKS = "/hooks/"
# An address that is a secret: not to be told to the next site, kept by a cache, or found by a search engine.
OF_HOOKS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("workflows", WorkflowViewSet, basename="workflow")
router.register("events", EventViewSet, basename="event")
router.register("deliveries", DeliveryViewSet, basename="delivery")
router.register("runs", RunViewSet, basename="run")
router.register("credentials", CredentialViewSet, basename="credential")
router.register("circuits", CircuitViewSet, basename="circuit")
router.register("watchables", WatchableViewSet, basename="watchable")
router.register("webhook-presets", WebhookPresetViewSet, basename="webhook-preset")
router.register("errors", ErrorViewSet, basename="error")
router.register("step-types", StepTypeViewSet, basename="step-type")
router.register("examples", ExampleViewSet, basename="example")
router.register("crm/accounts", crm.AccountViewSet, basename="account")
router.register("crm/contacts", crm.ContactViewSet, basename="contact")
router.register("crm/opportunities", crm.OpportunityViewSet, basename="opportunity")
router.register("crm/meetings", crm.MeetingViewSet, basename="meeting")
router.register("crm/tasks", crm.TaskViewSet, basename="task")
router.register("crm/notes", crm.NoteViewSet, basename="note")

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/", include(router.urls)),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("errors/<str:code>", error_pages.error_page, name="error"),
    path("livez", health.livez),
    path("readyz", health.readyz),
]

handler400 = "lightfield.api.bad_request"
handler404 = "lightfield.api.not_found"
handler500 = "lightfield.api.server_error"


class HookShortcut:
    """Middleware, first in line: webhook intake skips sessions, messages, CSRF and the URL resolver.

    A webhook is answered by its secret path alone, so none of the others could add anything but time.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(HOOKS):
            return self.get_response(request)
        response = receive_webhook(request, request.path_info.removeprefix(HOOKS))
        if response.status_code != 204:
            response.headers["Content-Length"] = str(len(response.content))
        if request.method == "HEAD":
            response.content = b""
        for name, value in OF_HOOKS.items():
            response.headers[name] = value
        response._has_been_logged = True  # type: ignore[attr-defined]  # Django logs the path of every 4xx and 5xx
        return response
