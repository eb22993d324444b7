"""Runs, lanes and workers in the admin: look and intervene. Runs are made and changed by the engine only."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from executions import lists, services
from executions.circuits.admin import CircuitAdmin
from executions.circuits.models import Circuit
from executions.delivery_admin import DeliveryAdmin, delivery_of
from executions.event_admin import EventAdmin
from executions.models import Heartbeat, Lane, Run, StepRun
from executions.states import LIVE_RUN, RunStatus
from executions.story import told
from lightfield.access import cells
from lightfield.access.look_only import EndlessPages, LookOnlyAdmin
from lightfield.kernel import plain_words
from lightfield.kernel.errors import RequestRefused
from triggers.deliveries.models import Delivery
from triggers.models import OutboxEvent

STALE_AFTER_SECONDS = 30  # three beats of a worker
CONTENT = "triggers.view_outboxevent"  # who may read what came in may read what was made of it


@admin.register(Run)
class RunAdmin(lists.StatusTabs, LookOnlyAdmin):
    list_display = (
        "short_id",
        "workflow_version",
        "status_label",
        "started_by",
        "started",
        "took",
        "tries",
        "why",
    )
    list_filter = (
        lists.WorkflowFilter,
        lists.ErrorCodeFilter,
        lists.SinceFilter,
    )
    search_fields = ("pk",)  # for the box; `get_search_results` does the search
    search_help_text = "Run, event or trace id, or an idempotency key"
    paginator = EndlessPages
    statuses = RunStatus

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """What a row shows and no more: an event's payload may be a megabyte."""
        steps = StepRun.objects.filter(run=OuterRef("pk")).order_by().values("run")
        rows: QuerySet[Run] = super().get_queryset(request).select_related("workflow", "version", "event")
        own = ("status", "created_at", "started_at", "finished_at", "error_code", "generation")
        others = ("workflow__name", "version__number", "version__is_test", "event__source")
        attempts = Subquery(steps.annotate(n=Sum("attempts")).values("n"))
        return rows.only(*own, *others).annotate(attempts=attempts)

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[Run],
        search_term: str,
    ) -> tuple[QuerySet[Run], bool]:
        term = search_term.strip()
        return (queryset.filter(lists.runs_matching(term)) if term else queryset), False

    def get_urls(self) -> list[URLPattern]:
        deeds = [("cancel", self.cancel), ("replay", self.replay)]
        own = [
            path(f"<uuid:run_id>/{name}/", self.admin_site.admin_view(require_POST(view)), name=f"run_{name}")
            for name, view in deeds
        ]
        return own + super().get_urls()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The run's own page; it renews itself while the run goes on."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            story = told(UUID(object_id))
        except (ValueError, Run.DoesNotExist):
            raise Http404(f"There is no run {object_id[:80]}.") from None
        return self.page(
            request,
            "lightfield/run.html",
            title=f"Run {str(story.run.pk)[-8:]}",
            story=story,
            run=story.run,
            shows_content=request.user.has_perm(CONTENT),
            delivery=delivery_of(request, story.run.event_id),
            may_cancel=story.is_live and request.user.has_perm("executions.cancel_run"),
            may_replay=story.can_be_replayed and request.user.has_perm("executions.replay_run"),
        )

    def cancel(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        self._require(request, "executions.cancel_run")
        try:
            services.cancel_run(run_id=run_id, by=request.user.get_username())
            messages.success(request, "The run is cancelled.")
        except RequestRefused as error:
            messages.error(request, error.message)
        return HttpResponseRedirect(self._address(run_id))

    def replay(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        self._require(request, "executions.replay_run")
        try:
            new = services.replay_run(run_id=run_id, by=request.user.get_username())
        except RequestRefused as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(self._address(run_id))
        messages.success(request, "This is the new run. What had finished is taken over from the old one.")
        return HttpResponseRedirect(self._address(new.pk))

    @staticmethod
    def _require(request: HttpRequest, permission: str) -> None:
        if not request.user.has_perm(permission):
            raise PermissionDenied

    @staticmethod
    def _address(run_id: UUID) -> str:
        return reverse("admin:executions_run_change", args=[run_id])

    @admin.display(description="Run")
    def short_id(self, run: Run) -> SafeString:
        return cells.code(str(run.pk)[-8:], title=str(run.pk))

    @admin.display(description="Workflow")
    def workflow_version(self, run: Run) -> str:
        return f"{run.workflow.name} v{run.version.number}{' (test)' if run.version.is_test else ''}"

    @admin.display(description="Status")
    def status_label(self, run: Run) -> SafeString:
        return cells.badge(run.status, RunStatus(run.status).label)

    @admin.display(description="Started by")
    def started_by(self, run: Run) -> str:
        return run.event.source if run.generation == 1 else f"{run.event.source}, replayed"

    @admin.display(description="Started")
    def started(self, run: Run) -> SafeString | None:
        return cells.moment(run.started_at or run.created_at)

    @admin.display(description="Took")
    def took(self, run: Run) -> str:
        end = run.finished_at or timezone.now()
        words = plain_words.length((end - (run.started_at or run.created_at)).total_seconds())
        return f"{words} so far" if run.status in LIVE_RUN else words

    @admin.display(description="Attempts")
    def tries(self, run: Run) -> int:
        return run.attempts or 0  # type: ignore[attr-defined]  # annotated

    @admin.display(description="Error")
    def why(self, run: Run) -> SafeString | None:
        return cells.code(run.error_code) if run.error_code else None


@admin.register(Lane)
class LaneAdmin(LookOnlyAdmin):
    """How wide each slow lane is and how full; the width is a setting of the installation."""

    list_display = ("name", "width", "per_workflow", "in_flight", "most_queued", "on_the_way", "waiting")
    list_display_links = None
    search_fields = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lane]:
        counted = StepRun.objects.filter(lane=OuterRef("name")).order_by().values("lane")
        flying = counted.filter(status__in=["queued", "running"]).annotate(n=Count("pk"))
        on_the_way = counted.filter(status="queued", rings=0, quarantined=False).annotate(n=Count("pk"))
        waiting = counted.filter(status__in=["ready", "waiting"]).annotate(n=Count("pk"))
        rows: QuerySet[Lane] = super().get_queryset(request)
        return rows.annotate(
            flying=Subquery(flying.values("n")),
            comes=Subquery(on_the_way.values("n")),
            waits=Subquery(waiting.values("n")),
        )

    @admin.display(description="In flight now")
    def in_flight(self, lane: Lane) -> int:
        return lane.flying or 0  # type: ignore[attr-defined]  # annotated

    @admin.display(description="Of these on the way to a worker")
    def on_the_way(self, lane: Lane) -> int:
        return lane.comes or 0  # type: ignore[attr-defined]  # annotated

    @admin.display(description="Waiting or due later")
    def waiting(self, lane: Lane) -> int:
        return lane.waits or 0  # type: ignore[attr-defined]  # annotated


@admin.register(Heartbeat)
class HeartbeatAdmin(LookOnlyAdmin):
    """Worker nodes: when each last took a message from its queue and reached the database."""

    plural = "Workers"
    list_display = ("node", "queue", "last_beat", "health")
    list_display_links = None
    ordering = ("queue", "node")

    @admin.display(description="Last beat")
    def last_beat(self, heartbeat: Heartbeat) -> SafeString | None:
        return cells.moment(heartbeat.at)

    @admin.display(description="Health")
    def health(self, heartbeat: Heartbeat) -> SafeString:
        silent = (timezone.now() - heartbeat.at).total_seconds() > STALE_AFTER_SECONDS
        return cells.badge("lost", "Silent") if silent else cells.badge("ok", "Alive")


admin.site.register(Circuit, CircuitAdmin)
admin.site.register(OutboxEvent, EventAdmin)
admin.site.register(Delivery, DeliveryAdmin)
