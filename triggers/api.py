"""What triggers add to the API of workflows: webhook address and its secrets, run by hand, a new token, schedules."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from lightfield.access.auth import Right, caller_of
from lightfield.access.idempotency import answered_once
from lightfield.access.keyring import UnreadableSecret
from lightfield.access.models import Scope
from lightfield.access.pagination import NewestFirst, invalid_parameter
from lightfield.access.parsers import payload_of
from lightfield.kernel import idempotency_key
from lightfield.kernel.errors import RequestRefused
from triggers import previews, services, waiting, webhook_secrets
from triggers.deliveries.api import SamplesActions
from triggers.models import Tick, Trigger
from triggers.schedule_serializers import SchedulePreviewSerializer, TickSerializer
from triggers.schedules.config import ScheduleConfig
from triggers.signatures import preset_of
from triggers.webhook_serializers import MadeSecretSerializer, NewSecret, Rotation, SecretSerializer
from workflows import api as workflows
from workflows import selectors
from workflows.models import Workflow
from workflows.serializers import WorkflowSerializer, WorkflowSummarySerializer

logger = logging.getLogger(__name__)

SOURCES = (previews.PUBLISHED, previews.DRAFT)

RUN = Right(Scope.OPERATOR, "workflows.run_workflow")
ADDRESS = Right(Scope.BUILDER, "triggers.change_trigger")  # to see the webhook address and to change it
VIEW_TICKS = Right(Scope.VIEWER, "triggers.view_tick")
VIEW_RUNS = Right(Scope.VIEWER, "executions.view_run")


class AddressSerializer(serializers.Serializer[Any]):
    """The webhook address, `/hooks/<token>`. Whoever knows it can start the workflow."""

    webhook_url = serializers.SerializerMethodField(help_text="Null without the right to see it.")
    previous_webhook_url_until = serializers.SerializerMethodField(
        help_text="Until when the address before this one is valid too, or was. Null without the right to see it."
    )

    def get_previous_webhook_url_until(self, workflow: Workflow) -> datetime | None:
        return (
            workflow.trigger.previous_token_until if caller_of(self.context["request"]).may(ADDRESS) else None
        )

    def get_webhook_url(self, workflow: Workflow) -> str | None:
        if not caller_of(self.context["request"]).may(ADDRESS):
            return None
        try:
            return services.webhook_path(workflow.trigger)
        except UnreadableSecret as error:  # one of them must not hide a whole list; rotate-token mends it
            logger.warning(
                "webhook_address_unreadable", extra={"workflow_id": str(workflow.pk), "error": error.message}
            )
            return None


@extend_schema_serializer(component_name="Workflow")
class AddressedWorkflowSerializer(WorkflowSerializer, AddressSerializer):
    """A workflow with its address and, for those who may change them, what tells its webhook's secrets apart."""

    def to_representation(self, instance: Workflow) -> Any:
        shown = super().to_representation(instance)
        config = (shown["trigger"] or {}).get("config", {})
        preset = preset_of(config.get("signature"))
        if preset is None or not caller_of(self.context["request"]).may(ADDRESS):
            return shown
        rows = webhook_secrets.live(instance.trigger.pk, preset.name)
        secrets = [{"id": row.pk, "last4": row.last4, "expires_at": row.expires_at} for row in rows]
        signature = {**config["signature"], "secrets": secrets}
        return {**shown, "trigger": {**shown["trigger"], "config": {**config, "signature": signature}}}


@extend_schema_serializer(component_name="WorkflowSummary")
class AddressedSummarySerializer(WorkflowSummarySerializer, AddressSerializer):
    """A workflow in a list, with its address."""


class CapturedSerializer(serializers.Serializer[Any]):
    event_id = serializers.UUIDField(read_only=True)
    duplicate = serializers.BooleanField(source="is_duplicate", read_only=True)


class EndedSerializer(CapturedSerializer):
    """What comes of it, when the caller waited and the run ended in time; of a repetition without it, the first two."""

    run_id = serializers.UUIDField(read_only=True, required=False, allow_null=True)
    status = serializers.CharField(
        read_only=True, required=False, help_text="The run's, or ignored or poison."
    )
    output = serializers.JSONField(
        read_only=True, required=False, allow_null=True, help_text="Of the last step that completed."
    )
    error = serializers.JSONField(
        read_only=True, required=False, allow_null=True, help_text="`code` and `message`."
    )


class NewestTickFirst(NewestFirst):
    """By their instants, of which a trigger has each once."""

    by = "due_at"


class WorkflowViewSet(SamplesActions, workflows.WorkflowViewSet):
    rights: ClassVar[dict[str, Right]] = {
        **workflows.WorkflowViewSet.rights,
        **SamplesActions.sample_rights,
        "run": RUN,
        "rotate_token": ADDRESS,
        "webhook_secrets": ADDRESS,
        "add_webhook_secret": ADDRESS,
        "end_webhook_secret": ADDRESS,
        "ticks": VIEW_TICKS,
        "schedule_preview": workflows.VIEW,
        "preview_of_config": workflows.VIEW,
    }
    serializer_class = AddressedWorkflowSerializer
    summary_class = AddressedSummarySerializer

    def get_queryset(self) -> QuerySet[Workflow]:
        return super().get_queryset().select_related("trigger")

    @extend_schema(
        request=OpenApiTypes.ANY,
        responses={202: CapturedSerializer, 200: EndedSerializer},
        parameters=[
            OpenApiParameter(
                waiting.PARAMETER,
                OpenApiTypes.NUMBER,
                description="Seconds, 0 to 25: stay until the run has ended, and be told what it came to.",
            )
        ],
    )
    @action(detail=True, methods=["post"])
    def run(self, request: Request, pk: UUID) -> Response:
        """Start the workflow with any JSON: 202, or 200 with the first event when the key is repeated.

        The key is kept with the event, for as long as the event, and not with the stored answers: so a
        repetition says `duplicate`, also from another caller.

        With `wait` the answer is 200 with the run's result, if it ends in time; that needs the right to see runs.
        """
        seconds = waiting.seconds_asked(request.META)
        if seconds and not caller_of(request).may(VIEW_RUNS):
            raise RequestRefused("auth.forbidden", "To wait for a run needs the right to see runs.")
        captured = services.run_by_hand(
            workflow_id=pk,
            payload=payload_of(request),
            idempotency_key=request.headers.get(idempotency_key.HEADER),
            traceparent=request.headers.get("traceparent"),
            by=caller_of(request).name,
        )
        told = CapturedSerializer(captured).data
        ended = waiting.until_ended(
            captured.event_id, seconds, client=request.META.get("gunicorn.socket")
        )  # the event is committed, so no transaction is open here
        if ended is not None:
            return Response({**told, **ended.as_json()})
        return Response(told, status=200 if captured.is_duplicate else 202)

    @extend_schema(request=Rotation)
    @action(detail=True, methods=["post"], url_path="rotate-token")
    @answered_once
    def rotate_token(self, request: Request, pk: UUID) -> Response:
        """Give the workflow a new webhook address.

        The old one answers 404 from now on, unless `previous_valid_for_seconds` keeps it for a while.
        """
        asked = Rotation.read(payload_of(request))
        services.rotate_token(
            workflow_id=pk,
            by=caller_of(request).name,
            previous_valid_for_seconds=asked.previous_valid_for_seconds,
        )
        return self.shown(pk)

    @extend_schema(responses=SecretSerializer(many=True), filters=False)
    @action(detail=True, url_path="webhook-secrets", filterset_class=None)
    def webhook_secrets(self, request: Request, pk: UUID) -> Response:
        """The secrets that verify the workflow's webhooks now, the newest first; never their texts."""
        selectors.workflow(pk)
        return self.page(webhook_secrets.live(Trigger.objects.get(workflow_id=pk).pk), SecretSerializer)

    @extend_schema(request=NewSecret, responses={201: MadeSecretSerializer})
    @webhook_secrets.mapping.post
    @answered_once
    def add_webhook_secret(self, request: Request, pk: UUID) -> Response:
        """Add a secret, or make one; this answer is the only one that shows it.

        The one before ends a day later, unless asked otherwise, and until then both verify.
        """
        asked = NewSecret.read(payload_of(request))
        made = webhook_secrets.add(
            workflow_id=pk,
            secret=asked.secret,
            ends_previous_in=asked.expires_previous_in_seconds,
            by=caller_of(request).name,
        )
        shown = SecretSerializer(made.row).data
        return Response({**shown, "secret": made.secret}, status=201)

    @extend_schema(responses={204: None})
    @action(detail=True, methods=["delete"], url_path="webhook-secrets/<uuid:secret_id>")
    def end_webhook_secret(self, request: Request, pk: UUID, secret_id: UUID) -> Response:
        """From now on this secret verifies nothing."""
        webhook_secrets.end(workflow_id=pk, secret_id=secret_id, by=caller_of(request).name)
        return Response(status=204)

    @extend_schema(responses=TickSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=NewestTickFirst, filterset_class=None)
    def ticks(self, request: Request, pk: UUID) -> Response:
        """The instants at which the schedule fired, the newest first."""
        selectors.workflow(pk)
        return self.page(Tick.objects.filter(trigger__workflow_id=pk), TickSerializer)

    @extend_schema(
        responses=SchedulePreviewSerializer,
        parameters=[
            OpenApiParameter(
                "of", enum=SOURCES, description="Which config; the published one if it is a schedule."
            )
        ],
    )
    @action(detail=True, url_path="schedule-preview")
    def schedule_preview(self, request: Request, pk: UUID) -> Response:
        """The next ten instants of the workflow's schedule, with what changes of the clock do to them.

        A draft that cannot be read is refused with its problems, as its publishing would be.
        """
        source = request.query_params.get("of")
        if source is not None and source not in SOURCES:
            raise invalid_parameter("of", "Expected published or draft.")
        return Response(SchedulePreviewSerializer(previews.of_workflow(pk, source=source)).data)

    @extend_schema(request=ScheduleConfig, responses={200: SchedulePreviewSerializer})
    @schedule_preview.mapping.post
    @answered_once
    def preview_of_config(self, request: Request, pk: UUID) -> Response:
        """The next ten instants of a config that is being edited. Nothing is stored."""
        selectors.workflow(pk)
        return Response(SchedulePreviewSerializer(previews.of_config(request.data)).data)
