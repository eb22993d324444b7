"""Events in the admin: what happened, and what became of it. Lives here because it leads to runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from executions import dispatcher, lists
from executions.causal_chain import chain_of_event
from executions.delivery_admin import delivery_of
from executions.models import Run
from lightfield.access import audit, cells
from lightfield.access.look_only import EndlessPages, LookOnlyAdmin
from lightfield.kernel.catalogue import CATALOGUE
from triggers.models import EventStatus, OutboxEvent

AGAIN = "triggers.change_outboxevent"


class EventAdmin(lists.StatusTabs, LookOnlyAdmin):
    plural = "Events"
    list_display = ("short_id", "workflow_name", "status_label", "source", "key", "captured", "newest_run")
    list_filter = (lists.WorkflowFilter,)
    search_fields = ("pk",)  # for the box; `get_search_results` does the search
    search_help_text = "Event or trace id, or an idempotency key"
    paginator = EndlessPages
    statuses = EventStatus

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxEvent]:
        runs = Run.objects.filter(event=OuterRef("pk")).order_by("-generation")
        rows: QuerySet[OutboxEvent] = super().get_queryset(request).select_related("workflow")
        fields = ("status", "source", "idempotency_key", "captured_at", "error_code", "workflow__name")
        return rows.only(*fields).annotate(
            run_id=Subquery(runs.values("pk")[:1]), run_status=Subquery(runs.values("status")[:1])
        )

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[OutboxEvent],
        search_term: str,
    ) -> tuple[QuerySet[OutboxEvent], bool]:
        term = search_term.strip()
        return (queryset.filter(lists.events_matching(term)) if term else queryset), False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.dispatch_again))
        return [
            path("<uuid:event_id>/dispatch-again/", view, name="event_dispatch_again"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        event = _found(object_id)
        runs = list(
            Run.objects.filter(event=event)
            .order_by("-generation")
            .only("status", "generation", "created_at", "started_at", "finished_at", "error_code")
        )
        return self.page(
            request,
            "lightfield/event.html",
            title=f"Event {str(event.pk)[-8:]}",
            event=event,
            runs=runs,
            delivery=delivery_of(request, event.pk),
            chain=chain_of_event(event.pk, [run.pk for run in runs]),
            entry=CATALOGUE.get(event.error_code or ""),
            is_live=event.status == EventStatus.PENDING or any(run.finished_at is None for run in runs),
            may_dispatch=event.status == EventStatus.POISON and request.user.has_perm(AGAIN),
        )

    def dispatch_again(self, request: HttpRequest, event_id: UUID) -> HttpResponse:
        if not request.user.has_perm(AGAIN):
            raise PermissionDenied
        with transaction.atomic():
            poisoned = OutboxEvent.objects.select_for_update(no_key=True).only("pk")
            if poisoned.filter(pk=event_id, status=EventStatus.POISON).first():
                dispatcher.dispatch_again(str(event_id))
                audit.record(
                    actor=request.user.get_username(), action="event.dispatched_again", subject=event_id
                )
                messages.success(request, "The event gets another three tries.")
            else:
                messages.warning(request, "Nothing was done: the event is no longer poison.")
        return HttpResponseRedirect(reverse("admin:triggers_outboxevent_change", args=[event_id]))

    @admin.display(description="Event")
    def short_id(self, event: OutboxEvent) -> SafeString:
        return cells.code(str(event.pk)[-8:], title=str(event.pk))

    @admin.display(description="Workflow")
    def workflow_name(self, event: OutboxEvent) -> str:
        return event.workflow.name

    @admin.display(description="Status")
    def status_label(self, event: OutboxEvent) -> SafeString:
        return cells.badge(event.status, EventStatus(event.status).label)

    @admin.display(description="Idempotency key")
    def key(self, event: OutboxEvent) -> SafeString | None:
        key = event.idempotency_key
        return cells.code(key if len(key) <= 32 else f"{key[:31]}…", title=key) if key else None

    @admin.display(description="Captured")
    def captured(self, event: OutboxEvent) -> SafeString | None:
        return cells.moment(event.captured_at)

    @admin.display(description="Newest run")
    def newest_run(self, event: OutboxEvent) -> SafeString | None:
        run_id = event.run_id  # type: ignore[attr-defined]  # annotated, as is its status
        if run_id is None:
            return None
        url = reverse("admin:executions_run_change", args=[run_id])
        return cells.link(url, f"{str(run_id)[-8:]} {event.run_status}", title=str(run_id), is_code=True)  # type: ignore[attr-defined]  # annotated


def _found(object_id: str) -> OutboxEvent:
    """The event with what its page shows of workflow and version. Raises Http404."""
    try:
        return (
            OutboxEvent.objects.select_related("workflow", "version")
            .defer("workflow__draft", "version__definition", "version__plan", "body_digest")
            .annotate(version_number=F("version__number"))
            .get(pk=UUID(object_id))
        )
    except (ValueError, OutboxEvent.DoesNotExist):
        raise Http404(f"There is no event {object_id[:80]}.") from None
