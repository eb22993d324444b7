"""The inbox in the admin: what came, what was decided, and sending it again. Lives here because it leads to runs."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import DropdownFilter

from executions import decision_sentences, delivery_sentences, lists, selectors
from executions.models import Run
from lightfield.access import cells
from lightfield.access.look_only import EndlessPages, LookOnlyAdmin
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import RequestRefused
from triggers.deliveries import searching, sending
from triggers.deliveries.models import Delivery, DeliveryVerdict, UnmatchedDay
from triggers.deliveries.sending import As

SEND: Final = "workflows.run_workflow"
TEST: Final = "workflows.change_workflow"  # besides
DETAIL: Final = "triggers.change_trigger"  # which check of a signature failed
OTHERS: Final = 20  # deliveries of the same event that its page names
UNMATCHED_DAYS: Final = 7


class VerdictFilter(DropdownFilter):
    title = "verdict"
    parameter_name = "verdict"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in DeliveryVerdict.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        return queryset.filter(verdict=value) if value in DeliveryVerdict.values else queryset.none()


class CameFilter(lists.SinceFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = lists.SINCE.get(self.value() or "")
        return searching.since(queryset, timezone.now() - chosen[1]) if chosen else queryset


class DeliveryAdmin(LookOnlyAdmin):
    plural = "Inbox"
    list_display = (
        "short_id",
        "workflow_name",
        "verdict_label",
        "answered",
        "came",
        "sender",
        "size_of",
        "newest_run",
    )
    list_filter = (lists.WorkflowFilter, VerdictFilter, CameFilter)
    search_fields = ("pk",)  # for the box; `get_search_results` does the search
    search_help_text = "Delivery or event id, digest of the body, error code, or an idempotency key"
    paginator = EndlessPages
    list_before_template = "lightfield/parts/unmatched.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        rows: QuerySet[Delivery] = super().get_queryset(request).select_related("workflow")
        own = ("verdict", "answer", "at", "address", "size", "count", "code", "event_id", "is_test")
        return rows.only(*own, "workflow__name").annotate(run_id=selectors.newest_run_of("event_id"))

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[Delivery],
        search_term: str,
    ) -> tuple[QuerySet[Delivery], bool]:
        term = search_term.strip()
        return (queryset.filter(searching.matching(term)) if term else queryset), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        days = list(UnmatchedDay.objects.order_by("-day")[:UNMATCHED_DAYS])
        return super().changelist_view(request, {"unmatched": days, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.send_again))
        return [
            path("<uuid:delivery_id>/send-again/<str:as_>/", view, name="delivery_send_again"),
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
        delivery = _found(object_id)
        user = request.user
        has_payload = delivery.verdict in (DeliveryVerdict.ACCEPTED, DeliveryVerdict.DUPLICATE)
        may_send, may_see_detail = has_payload and user.has_perm(SEND), user.has_perm(DETAIL)
        of_event = Delivery.objects.filter(event_id=delivery.event_id).exclude(pk=delivery.pk)
        others = list(of_event.order_by("-pk")[:OTHERS]) if delivery.event_id else []
        return self.page(
            request,
            "lightfield/delivery.html",
            title=f"Delivery {str(delivery.pk)[-8:]}",
            delivery=delivery,
            sentence=delivery_sentences.sentence_of(delivery),
            digest=bytes(delivery.digest).hex() if delivery.digest else "",
            others=others,
            runs=list(_runs_of(delivery)) if user.has_perm("executions.view_run") else [],
            entry=CATALOGUE.get(delivery.code or ""),
            detail=delivery.detail if may_see_detail else None,
            failed_check=decision_sentences.check_in_words(delivery.detail) if may_see_detail else "",
            hides_detail=bool(delivery.detail) and not may_see_detail,
            may_see_event=user.has_perm("triggers.view_outboxevent"),
            may_send=may_send,
            may_test=may_send and user.has_perm(TEST),
        )

    def send_again(self, request: HttpRequest, delivery_id: UUID, as_: str) -> HttpResponse:
        if as_ not in tuple(As):
            raise Http404("It can be sent again as an event or as a test.")
        how = As(as_)
        if not request.user.has_perm(SEND) or (how is As.TEST and not request.user.has_perm(TEST)):
            raise PermissionDenied
        try:
            sent = sending.send_again(delivery_id=delivery_id, as_=how, by=request.user.get_username())
        except RequestRefused as refusal:
            first = refusal.problems[0].detail if refusal.problems else ""
            messages.error(request, f"Not sent: {refusal.message} {first}".strip())
            return HttpResponseRedirect(_address(delivery_id))
        if sent.delivery_id is not None:
            messages.success(request, "The draft runs with this payload. This is the test.")
            return HttpResponseRedirect(_address(sent.delivery_id))
        messages.info(
            request, "Sent again. It is the event that was there already, and nothing started twice."
        )
        return HttpResponseRedirect(_address(delivery_id))

    @admin.display(description="Delivery")
    def short_id(self, delivery: Delivery) -> SafeString:
        return cells.code(str(delivery.pk)[-8:], title=str(delivery.pk))

    @admin.display(description="Workflow")
    def workflow_name(self, delivery: Delivery) -> str:
        return delivery.workflow.name

    @admin.display(description="Verdict")
    def verdict_label(self, delivery: Delivery) -> SafeString:
        return cells.badge(delivery.verdict, delivery.label)

    @admin.display(description="Answer")
    def answered(self, delivery: Delivery) -> SafeString:
        return cells.code(delivery.answer, title=delivery.code or "")

    @admin.display(description="Came")
    def came(self, delivery: Delivery) -> SafeString | None:
        return cells.moment(delivery.at)

    @admin.display(description="From")
    def sender(self, delivery: Delivery) -> str | None:
        return delivery.address or None

    @admin.display(description="Bytes")
    def size_of(self, delivery: Delivery) -> str | None:
        return None if delivery.size is None else f"{delivery.size:,}"

    @admin.display(description="Newest run")
    def newest_run(self, delivery: Delivery) -> SafeString | None:
        run_id = delivery.run_id  # type: ignore[attr-defined]  # annotated
        if run_id is None:
            return None
        url = reverse("admin:executions_run_change", args=[run_id])
        return cells.link(url, str(run_id)[-8:], title=str(run_id), is_code=True)


def delivery_of(request: HttpRequest, event_id: UUID) -> Delivery | None:
    """The accepted delivery that became this event, if it is still there and this person may see it."""
    if not request.user.has_perm("triggers.view_delivery"):
        return None
    rows = Delivery.objects.filter(event_id=event_id, verdict=DeliveryVerdict.ACCEPTED)
    return rows.only("at", "address", "verdict").first()


def _runs_of(delivery: Delivery) -> QuerySet[Run]:
    runs = Run.objects.filter(event=delivery.event_id).order_by("-generation")
    return runs.only("status", "generation", "created_at", "error_code")


def _address(delivery_id: UUID) -> str:
    return reverse("admin:triggers_delivery_change", args=[delivery_id])


def _found(object_id: str) -> Delivery:
    """Raises Http404."""
    try:
        rows = Delivery.objects.select_related("workflow").defer("workflow__draft")
        return rows.get(pk=UUID(object_id))
    except (ValueError, Delivery.DoesNotExist):
        raise Http404(f"There is no delivery {object_id[:80]}. The inbox forgets old ones.") from None
