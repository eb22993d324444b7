"""The API of events. What became of them as runs is added by `executions.api`."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import F, QuerySet
from django_filters import ChoiceFilter, UUIDFilter
from django_filters.rest_framework import FilterSet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lightfield.access.auth import Right
from lightfield.access.models import Scope
from lightfield.access.viewsets import ApiViewSet
from triggers.models import EventStatus, OutboxEvent

VIEW_EVENTS = Right(Scope.VIEWER, "triggers.view_outboxevent")


class EventSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(read_only=True)
    status = serializers.ChoiceField(EventStatus.choices, read_only=True)
    trigger_type = serializers.CharField(
        source="source", read_only=True, help_text="What fired: webhook, manual, record, schedule or test."
    )
    workflow = serializers.UUIDField(source="workflow_id", read_only=True)
    version = serializers.IntegerField(source="version_number", read_only=True)
    idempotency_key = serializers.CharField(read_only=True, allow_null=True)
    trace_id = serializers.CharField(read_only=True)
    caused_by = serializers.UUIDField(
        read_only=True, allow_null=True, help_text="The run whose step led to it."
    )
    depth = serializers.IntegerField(
        read_only=True, help_text="How many runs led to it, one after the other."
    )
    error_code = serializers.CharField(read_only=True, allow_null=True)
    captured_at = serializers.DateTimeField(read_only=True)
    decided_at = serializers.DateTimeField(read_only=True, allow_null=True)


class EventFilter(FilterSet):
    workflow = UUIDFilter(field_name="workflow_id")
    caused_by = UUIDFilter(help_text="What this run led to.")
    status = ChoiceFilter(choices=EventStatus.choices)


class EventViewSet(ApiViewSet):
    """What happened, and what became of it."""

    rights: ClassVar[dict[str, Right]] = {"list": VIEW_EVENTS, "retrieve": VIEW_EVENTS}
    queryset = OutboxEvent.objects.all()
    filterset_class = EventFilter
    serializer_class: type[EventSerializer] = EventSerializer

    def get_queryset(self) -> QuerySet[OutboxEvent]:
        return OutboxEvent.objects.defer("payload", "body_digest").annotate(
            version_number=F("version__number")
        )

    def list(self, request: Request) -> Response:
        """Events, the newest first."""
        return self.page(self.get_queryset(), self.serializer_class)

    def retrieve(self, request: Request, pk: UUID) -> Response:
        """One event. What it carried is the `trigger` of its runs."""
        return Response(self.get_serializer(self.get_queryset().get(pk=pk)).data)
