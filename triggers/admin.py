"""Triggers in the admin: what starts each workflow, as published. Changed by publishing, never here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from lightfield.access import cells
from lightfield.access.look_only import LookOnlyAdmin
from triggers.models import Trigger


@admin.register(Trigger)
class TriggerAdmin(LookOnlyAdmin):
    """The address of a webhook is shown on the workflow's own page, to those who may change it."""

    list_display = ("workflow_link", "kind_label", "status", "shard", "since", "why")
    list_display_links = None
    search_fields = ("workflow__name",)
    search_help_text = "Name of the workflow"
    list_filter = ("kind",)
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trigger]:
        rows = super().get_queryset(request).select_related("workflow")
        return rows.defer("config", "token_hash", "token_ciphertext", "workflow__draft")

    def change_view(
        self,
        request: HttpRequest,  # noqa: ARG002
        object_id: str,
        form_url: str = "",  # noqa: ARG002
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        """A trigger has no page of its own: it is a part of its workflow."""
        trigger = Trigger.objects.filter(pk=object_id).first() if object_id.isdecimal() else None
        if trigger is None:
            return HttpResponseRedirect(reverse("admin:triggers_trigger_changelist"))
        return HttpResponseRedirect(reverse("admin:workflows_workflow_change", args=[trigger.workflow_id]))

    @admin.display(description="Workflow")
    def workflow_link(self, trigger: Trigger) -> SafeString:
        url = reverse("admin:workflows_workflow_change", args=[trigger.workflow_id])
        return cells.link(url, trigger.workflow.name)

    @admin.display(description="Starts by")
    def kind_label(self, trigger: Trigger) -> str:
        return trigger.kind or "not published yet"

    @admin.display(description="Workflow is")
    def status(self, trigger: Trigger) -> SafeString:
        return cells.badge(trigger.workflow.status, trigger.workflow.get_status_display())

    @admin.display(description="Since")
    def since(self, trigger: Trigger) -> SafeString | None:
        return cells.moment(trigger.created_at)

    @admin.display(description="Decisions")
    def why(self, trigger: Trigger) -> SafeString:
        url = reverse("admin:workflow_decisions", args=[trigger.workflow_id])
        return cells.link(url, "Why did it (not) fire?")
