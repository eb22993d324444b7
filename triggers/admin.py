"""Triggers in the admin: what starts each workflow, as published. Changed by publishing, never here."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from lightfield.access import cells
from lightfield.access.look_only import LookOnlyAdmin
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import RequestRefused
from triggers import previews, tasks, webhook_page
from triggers.kinds import base as kinds
from triggers.kinds.schedule import Schedule
from triggers.models import Tick, Trigger
from workflows.models import WorkflowStatus

SHOWN = 10  # of ticks
BEAT = "django_celery_beat"


@admin.register(Trigger)
class TriggerAdmin(LookOnlyAdmin):
    """The address of a webhook and what tells its secrets apart are shown to those who may change them."""

    list_display = ("kind_label", "workflow_link", "status", "next_due", "shard", "since", "why")
    search_fields = ("workflow__name",)
    search_help_text = "Name of the workflow"
    list_filter = ("kind",)
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trigger]:
        rows = super().get_queryset(request).select_related("workflow")
        return rows.defer(
            "config", "token_hash", "token_ciphertext", "previous_token_hash", "workflow__draft"
        )

    def get_urls(self) -> list[URLPattern]:
        secrets = self.admin_site.admin_view(self.secrets_view)
        end = self.admin_site.admin_view(self.end_secret_view)
        rotate = self.admin_site.admin_view(self.rotate_view)
        own = [
            path("<int:trigger_id>/secrets/", secrets, name="trigger_secrets"),
            path("<int:trigger_id>/secrets/<uuid:secret_id>/end/", end, name="trigger_end_secret"),
            path("<int:trigger_id>/rotate/", rotate, name="trigger_rotate"),
        ]
        return [*own, *super().get_urls()]

    def secrets_view(self, request: HttpRequest, trigger_id: int) -> HttpResponse:
        """Add a secret. The answer is the only page that ever shows it: not a message, which travels on in a cookie."""
        trigger = self._changed(request, trigger_id)
        made = webhook_page.add_secret(request, trigger) if request.method == "POST" else None
        if made is None:
            return HttpResponseRedirect(address_of(trigger))
        return self.page(
            request, "lightfield/secret_made.html", title="Keep this secret now", made=made, trigger=trigger
        )

    def end_secret_view(self, request: HttpRequest, trigger_id: int, secret_id: UUID) -> HttpResponse:
        trigger = self._changed(request, trigger_id)
        if request.method == "POST":
            webhook_page.end_secret(request, trigger, secret_id)
        return HttpResponseRedirect(address_of(trigger))

    def rotate_view(self, request: HttpRequest, trigger_id: int) -> HttpResponse:
        """Another address; the old one may stay valid for a while."""
        trigger = self._changed(request, trigger_id)
        if request.method == "POST":
            webhook_page.rotate_address(request, trigger)
        return HttpResponseRedirect(address_of(trigger))

    def _changed(self, request: HttpRequest, trigger_id: int) -> Trigger:
        """The trigger that a person wants to change. Raises PermissionDenied, Http404."""
        if not (self.has_view_permission(request) and request.user.has_perm(webhook_page.ADDRESS)):
            raise PermissionDenied
        return _found(str(trigger_id))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The trigger's own page, whatever its kind: what it is, and for a schedule what fired and what will."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        trigger = _found(object_id)
        kind = kinds.find(trigger.kind)
        return self.page(
            request,
            "lightfield/trigger.html",
            title=f"Trigger of {trigger.workflow.name}",
            trigger=trigger,
            summary=kind.summary if kind else "",
            failure=CATALOGUE.get(trigger.error_code or ""),
            is_live=trigger.next_due_at is not None,
            **(_schedule_of(request, trigger) if trigger.kind == Schedule.name else {}),
            **webhook_page.context_of(request, trigger),
        )

    @admin.display(description="Starts by")
    def kind_label(self, trigger: Trigger) -> str:
        return trigger.kind or "not published yet"

    @admin.display(description="Workflow")
    def workflow_link(self, trigger: Trigger) -> SafeString:
        url = reverse("admin:workflows_workflow_change", args=[trigger.workflow_id])
        return cells.link(url, trigger.workflow.name)

    @admin.display(description="Workflow is")
    def status(self, trigger: Trigger) -> SafeString:
        return cells.badge(trigger.workflow.status, trigger.workflow.get_status_display())

    @admin.display(description="Next due")
    def next_due(self, trigger: Trigger) -> SafeString | None:
        if trigger.error_code:
            return cells.badge("failed", "Set aside")
        return cells.moment(trigger.next_due_at)

    @admin.display(description="Since")
    def since(self, trigger: Trigger) -> SafeString | None:
        return cells.moment(trigger.created_at)

    @admin.display(description="Decisions")
    def why(self, trigger: Trigger) -> SafeString:
        url = reverse("admin:workflow_decisions", args=[trigger.workflow_id])
        return cells.link(url, "Why did it (not) fire?")


def address_of(trigger: Trigger) -> str:
    return reverse("admin:triggers_trigger_change", args=[trigger.pk])


def _schedule_of(request: HttpRequest, trigger: Trigger) -> dict[str, Any]:
    """What only a schedule has: its last ticks, the next instants, and who wakes it."""
    try:
        instants = previews.of_config(trigger.config).instants
        flaw = ""
    except RequestRefused as error:  # another release published it
        instants, flaw = [], error.message
    return {
        "is_schedule": True,
        "is_active": trigger.workflow.status == WorkflowStatus.ACTIVE,
        "ticks": list(Tick.objects.filter(trigger=trigger).order_by("-due_at")[:SHOWN]),
        "instants": instants,
        "flaw": flaw,
        "may_see_events": request.user.has_perm("triggers.view_outboxevent"),
        **_waker(request),
    }


def _waker(request: HttpRequest) -> dict[str, Any]:
    """The entries of beat that ring for schedules, as they stand in its table. Beat writes ours when it starts."""
    if not apps.is_installed(BEAT):
        return {"entries": None}
    entries = apps.get_model(BEAT, "PeriodicTask").objects.filter(task=tasks.fire_ticks.name)
    return {
        "entries": list(entries.select_related("interval").order_by("pk")),
        "may_see_entries": request.user.has_perm(f"{BEAT}.view_periodictask"),
    }


def _found(object_id: str) -> Trigger:
    """Raises Http404."""
    rows = Trigger.objects.select_related("workflow").defer("token_hash", "previous_token_hash")
    found = rows.filter(pk=object_id).first() if object_id.isdecimal() and len(object_id) < 19 else None
    if found is None:
        raise Http404(f"There is no trigger {object_id[:80]}.")
    return found
