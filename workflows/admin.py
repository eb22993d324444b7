"""Published versions in the admin: what ran, exactly, and what changed. Nothing here can be edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from lightfield.access import cells
from lightfield.access.look_only import LookOnlyAdmin
from workflows.arrangement import arranged
from workflows.comparison import compared
from workflows.models import WorkflowStatus, WorkflowVersion

DRAFT = "draft"


@admin.register(WorkflowVersion)
class VersionAdmin(LookOnlyAdmin):
    plural = "Versions"
    list_display = ("title", "standing", "published", "published_by", "short_checksum")
    search_fields = ("workflow__name",)
    search_help_text = "Name of the workflow"
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkflowVersion]:
        rows = super().get_queryset(request).select_related("workflow")
        return rows.defer("definition", "plan", "workflow__draft")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """A workflow's own page leads to the list of its versions."""
        return lookup == "workflow__id__exact" or super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]  # the stubs know no call without a request

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One version, compared with the one before, with any other number, or with the draft."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = WorkflowVersion.objects.select_related("workflow")
        version = rows.filter(pk=object_id).first() if object_id.isdecimal() else None
        if version is None:
            raise Http404(f"There is no version {object_id[:80]}.")
        against = request.GET.get("against") or str(version.number - 1)
        old, new = _sides(version, against)
        return self.page(
            request,
            "lightfield/version.html",
            title=f"{version.workflow.name} v{version.number}",
            version=version,
            workflow=version.workflow,
            definition=arranged(version.definition),
            is_active=_is_active(version),
            numbers=version.workflow.versions.filter(is_test=False).values_list("number", "pk")[:50],
            against=against,
            lines=compared(old, new) if old is not None and new is not None else None,
        )

    @admin.display(description="Version", ordering="pk")
    def title(self, version: WorkflowVersion) -> str:
        return str(version)

    @admin.display(description="Standing")
    def standing(self, version: WorkflowVersion) -> SafeString:
        if version.is_test:
            return cells.badge("paused", "Test")
        return cells.badge("active", "Active") if _is_active(version) else cells.badge("", "Earlier")

    @admin.display(description="Published")
    def published(self, version: WorkflowVersion) -> SafeString | None:
        return cells.moment(version.published_at)

    @admin.display(description="Checksum")
    def short_checksum(self, version: WorkflowVersion) -> SafeString:
        return cells.code(version.checksum[:12], title=version.checksum)


Document = dict[str, Any]


def _is_active(version: WorkflowVersion) -> bool:
    """New events run on it. An archived workflow keeps its last version and takes no events."""
    workflow = version.workflow
    return workflow.active_version_id == version.pk and workflow.status != WorkflowStatus.ARCHIVED


def _sides(version: WorkflowVersion, against: str) -> tuple[Document | None, Document | None]:
    """The two definitions to compare, the older first. None: there is no such version."""
    if against == DRAFT:
        return version.definition, version.workflow.draft
    number = int(against) if against.isdecimal() and len(against) < 10 else 0
    other = version.workflow.versions.filter(number=number, is_test=False).first()
    if other is None:
        return None, version.definition
    if other.number > version.number:
        return version.definition, other.definition
    return other.definition, version.definition
