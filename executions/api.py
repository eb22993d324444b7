"""The API of runs, and what runs add to events."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.core.validators import RegexValidator
from django.db.models import QuerySet
from django_filters import CharFilter, ChoiceFilter, IsoDateTimeFilter, UUIDFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from executions import decision_list, selectors, services
from executions.models import ERROR_CODE_FORMAT, Run
from executions.notices.models import NoticeSecret
from executions.serializers import (
    ChainSerializer,
    DecisionSerializer,
    ReplayedSerializer,
    RunSerializer,
    RunSummarySerializer,
    TalliesSerializer,
    TimelineEntrySerializer,
    TurnSerializer,
)
from executions.states import RunStatus
from lightfield.access.auth import Right, caller_of
from lightfield.access.idempotency import answered_once
from lightfield.access.models import Scope
from lightfield.access.pagination import NewestFirst
from lightfield.access.viewsets import ApiViewSet
from triggers import api as triggers
from triggers import events_api as events
from triggers.decisions import Verdict
from triggers.deliveries import api as deliveries
from triggers.deliveries.models import Delivery
from triggers.models import Decision, OutboxEvent, Trigger

VIEW = Right(Scope.VIEWER, "executions.view_run")
CANCEL = Right(Scope.OPERATOR, "executions.cancel_run")
REPLAY = Right(Scope.OPERATOR, "executions.replay_run")


class RunFilter(FilterSet):
    workflow = UUIDFilter(field_name="workflow_id")
    status = ChoiceFilter(choices=RunStatus.choices)
    error_code = CharFilter(validators=[RegexValidator(ERROR_CODE_FORMAT, "Expected namespace.code.")])
    trace_id = CharFilter(validators=[RegexValidator(r"^[0-9a-f]{32}$", "Expected 32 hex digits.")])
    since = IsoDateTimeFilter(method="filter_since", help_text="Created then or later.")

    def filter_since(self, runs: QuerySet[Run], name: str, instant: datetime) -> QuerySet[Run]:
        return selectors.runs_since(runs, instant)


class InOrder(NewestFirst):
    by = "seq"
    is_descending = False


class ByNumber(NewestFirst):
    by = "number"
    is_descending = False


class RunViewSet(ApiViewSet):
    """Read runs; cancel and replay them. A run is started by an event, never here."""

    rights: ClassVar[dict[str, Right]] = {
        "list": VIEW,
        "retrieve": VIEW,
        "timeline": VIEW,
        "chain": VIEW,
        "turns": VIEW,
        "cancel": CANCEL,
        "replay": REPLAY,
    }
    queryset = Run.objects.all()
    filterset_class = RunFilter
    serializer_class = RunSerializer

    @extend_schema(responses=RunSummarySerializer(many=True))
    def list(self, request: Request) -> Response:
        """Runs, the newest first, without what went in and came out."""
        return self.page(selectors.runs_for_list(), RunSummarySerializer)

    def retrieve(self, request: Request, pk: UUID) -> Response:
        """One run with its steps and their outputs."""
        return self.shown(pk)

    @extend_schema(responses=TimelineEntrySerializer(many=True), filters=False)
    @action(detail=True, pagination_class=InOrder, filterset_class=None)
    def timeline(self, request: Request, pk: UUID) -> Response:
        """What happened to the run, in order."""
        self._must_exist(pk)
        return self.page(selectors.timeline_of(pk), TimelineEntrySerializer)

    @extend_schema(responses=TurnSerializer(many=True), filters=False)
    @action(detail=True, url_path="steps/<slug:key>/turns", pagination_class=ByNumber, filterset_class=None)
    def turns(self, request: Request, pk: UUID, key: str) -> Response:
        """What the agent of a step did, in order: the answers of its model and its tool calls, as far as it is."""
        return self.page(selectors.turns_of_step(pk, key), TurnSerializer)

    @extend_schema(responses=ChainSerializer, filters=False)
    @action(detail=True, pagination_class=None, filterset_class=None)
    def chain(self, request: Request, pk: UUID) -> Response:
        """Which runs led to this one, from the first cause on, and what it led to, ignored events included."""
        return Response(ChainSerializer(selectors.chain_of_run(pk)).data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    @answered_once
    def cancel(self, request: Request, pk: UUID) -> Response:
        """Stop the run for good. On a cancelled run nothing changes; on a finished one: 409."""
        self._must_exist(pk)
        services.cancel_run(run_id=pk, by=caller_of(request).name)
        return self.shown(pk)

    @extend_schema(request=None, responses={202: ReplayedSerializer})
    @action(detail=True, methods=["post"])
    @answered_once
    def replay(self, request: Request, pk: UUID) -> Response:
        """Start a new run of the same event and version at the step that failed or was cancelled."""
        self._must_exist(pk)
        run = services.replay_run(run_id=pk, by=caller_of(request).name)
        return Response(ReplayedSerializer(run).data, status=202)

    def shown(self, run_id: UUID) -> Response:
        return Response(RunSerializer(selectors.run_for_detail(run_id)).data)

    @staticmethod
    def _must_exist(run_id: UUID) -> None:
        Run.objects.only("pk").get(pk=run_id)


@extend_schema_serializer(component_name="Event")
class EventWithRunsSerializer(events.EventSerializer):
    run_id = serializers.SerializerMethodField(help_text="The newest of `runs`.")
    runs = serializers.ListField(source="run_ids", child=serializers.UUIDField(), read_only=True)

    def get_run_id(self, event: Any) -> UUID | None:
        return event.run_ids[-1] if event.run_ids else None


class EventViewSet(events.EventViewSet):
    serializer_class = EventWithRunsSerializer

    def get_queryset(self) -> QuerySet[OutboxEvent]:
        return selectors.with_runs(super().get_queryset())


@extend_schema_serializer(component_name="DeliverySummary")
class DeliverySummaryWithRunSerializer(deliveries.DeliverySummarySerializer):
    run_id = serializers.UUIDField(read_only=True, allow_null=True, help_text="The newest of the event.")


@extend_schema_serializer(component_name="Delivery")
class DeliveryWithRunSerializer(deliveries.DeliverySerializer, DeliverySummaryWithRunSerializer):
    """A delivery with the run that it led to."""


class DeliveryViewSet(deliveries.DeliveryViewSet):
    serializer_class = DeliveryWithRunSerializer
    summary_class = DeliverySummaryWithRunSerializer

    def get_queryset(self) -> QuerySet[Delivery]:
        return super().get_queryset().annotate(run_id=selectors.newest_run_of("event_id"))

    @extend_schema(responses=DeliverySummaryWithRunSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Deliveries, the newest first, without their headers."""
        return super().list(request)


class DecisionFilter(FilterSet):
    verdict = ChoiceFilter(choices=Verdict.choices)


@extend_schema_serializer(component_name="Workflow")
class WorkflowWithNoticesSerializer(triggers.AddressedWorkflowSerializer):
    notice_secret_last4 = serializers.SerializerMethodField(
        help_text="Of the secret that signs failure notices; null: they are not signed. Null without the right to edit."
    )

    def get_notice_secret_last4(self, workflow: Any) -> str | None:
        if not caller_of(self.context["request"]).may(triggers.ADDRESS):
            return None
        row = NoticeSecret.objects.only("last4").filter(workflow=workflow).first()
        return row.last4 if row else None


class WorkflowViewSet(triggers.WorkflowViewSet):
    """With the answer to "why did it (not) fire?"."""

    serializer_class = WorkflowWithNoticesSerializer

    rights: ClassVar[dict[str, Right]] = {
        **triggers.WorkflowViewSet.rights,
        "decisions": events.VIEW_EVENTS,
        "decisions_summary": events.VIEW_EVENTS,
    }

    @extend_schema(responses=DecisionSerializer(many=True), filters=True)
    @action(detail=True, filterset_class=DecisionFilter, queryset=Decision.objects.all())
    def decisions(self, request: Request, pk: UUID) -> Response:
        """What did and did not start the workflow, and why; the newest first.

        Every event that is still there, and of all other decisions the newest 1,000 at most. Where many were made at
        once, only some of them are shown one by one; `…/decisions/summary` counts them all.
        """
        trigger = Trigger.objects.only("workflow_id").get(workflow_id=pk)
        self.filter_queryset(Decision.objects.none())  # refuses what it does not know
        word = request.query_params.get("verdict")
        lists = decision_list.lists_of(trigger, Verdict(word) if word else None)
        rows: list[Any] = list(self.paginate_queryset(lists) or [])
        entries = decision_list.entries_of(rows, may_see_checks=caller_of(request).may(triggers.ADDRESS))
        return self.get_paginated_response(DecisionSerializer(entries, many=True).data)

    @extend_schema(responses=TalliesSerializer, filters=False)
    @action(detail=True, url_path="decisions/summary", filterset_class=None, pagination_class=None)
    def decisions_summary(self, request: Request, pk: UUID) -> Response:
        """How often each decision was made: events as far as the newest 10,000, all others since the workflow exists."""
        trigger = Trigger.objects.only("workflow_id").get(workflow_id=pk)
        return Response(TalliesSerializer({"verdicts": decision_list.tallies_of(trigger)}).data)
