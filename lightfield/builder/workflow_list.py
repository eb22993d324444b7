"""The list of workflows: what each is, and how it fared in the last 24 hours."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from executions import lists
from lightfield.access import cells
from lightfield.builder.numbers import NONE, Numbers, numbers_of
from workflows.models import Workflow, WorkflowStatus


class WorkflowList(lists.StatusTabs):
    list_display = ("name", "status_label", "starts_by", "version", "last_day", "newest_run", "edited")
    search_fields = ("name",)
    search_help_text = "Name"
    ordering = ("-id",)
    statuses = WorkflowStatus

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workflow]:
        rows: QuerySet[Workflow] = super().get_queryset(request).select_related("active_version", "trigger")
        fields = ("name", "status", "updated_at", "active_version__number", "trigger__kind")
        return rows.only(*fields).annotate(draft_type=KT("draft__trigger__type"))

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The page of workflows, each with its numbers."""
        changelist: ChangeList = super().get_changelist_instance(request)
        page = list(changelist.result_list)
        found = numbers_of([workflow.pk for workflow in page])
        for workflow in page:
            workflow.numbers = found.get(workflow.pk, NONE)
        changelist.result_list = page
        return changelist

    @admin.display(description="Status")
    def status_label(self, workflow: Workflow) -> SafeString:
        return cells.badge(workflow.status, WorkflowStatus(workflow.status).label)

    @admin.display(description="Starts by")
    def starts_by(self, workflow: Workflow) -> str | None:
        published = workflow.trigger.kind
        return published or workflow.draft_type or None  # type: ignore[attr-defined]  # annotated

    @admin.display(description="Version")
    def version(self, workflow: Workflow) -> str | None:
        return f"v{workflow.active_version.number}" if workflow.active_version else None

    @admin.display(description="Last 24 hours")
    def last_day(self, workflow: Workflow) -> str | None:
        return _numbers(workflow).words or None

    @admin.display(description="Newest run")
    def newest_run(self, workflow: Workflow) -> SafeString | None:
        numbers = _numbers(workflow)
        if numbers.newest_id is None:
            return None
        url = reverse("admin:executions_run_change", args=[numbers.newest_id])
        return cells.newest(url, status=numbers.newest_status or "", instant=numbers.newest_at)

    @admin.display(description="Edited")
    def edited(self, workflow: Workflow) -> SafeString | None:
        return cells.moment(workflow.updated_at)


def _numbers(workflow: Workflow) -> Numbers:
    found: Numbers = getattr(workflow, "numbers", NONE)
    return found
