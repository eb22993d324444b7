"""The API of the inbox: deliveries, and a workflow's samples."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from lightfield.access.auth import Right, caller_of
from lightfield.access.idempotency import answered_once
from lightfield.access.models import Scope
from lightfield.access.viewsets import ApiViewSet
from triggers.deliveries import samples, sending
from triggers.deliveries.models import Delivery, DeliveryVerdict, Samples
from triggers.deliveries.searching import DeliveryFilter
from triggers.deliveries.sending import As

VIEW = Right(Scope.VIEWER, "triggers.view_delivery")
SEND = Right(Scope.OPERATOR, "workflows.run_workflow")
TEST = Right(Scope.BUILDER, "workflows.change_workflow")  # besides: a draft is what nobody has published yet
PAYLOAD = Right(Scope.VIEWER, "triggers.view_outboxevent")  # what senders send
DETAIL = Right(Scope.BUILDER, "triggers.change_trigger")  # which check of a signature failed
CHANGE_SAMPLES = Right(Scope.BUILDER, "workflows.change_workflow")


class DeliverySummarySerializer(serializers.Serializer[Delivery]):
    """A delivery in a list."""

    id = serializers.UUIDField(read_only=True)
    workflow = serializers.UUIDField(source="workflow_id", read_only=True)
    at = serializers.DateTimeField(read_only=True)
    verdict = serializers.ChoiceField(DeliveryVerdict.choices, read_only=True)
    status = serializers.IntegerField(source="answer", read_only=True, help_text="The answer's HTTP status.")
    code = serializers.CharField(read_only=True, allow_null=True, help_text="Of the error catalogue.")
    event_id = serializers.UUIDField(
        read_only=True,
        allow_null=True,
        help_text="What it became; of a repetition, the event that was there first.",
    )
    address = serializers.CharField(read_only=True, help_text="Of the client, or of the proxy in front.")
    content_type = serializers.CharField(read_only=True)
    size = serializers.IntegerField(read_only=True, allow_null=True, help_text="Bytes of the body.")
    digest = serializers.SerializerMethodField(
        help_text="SHA-256 of the body, in hex; null if it was not read."
    )
    count = serializers.IntegerField(
        read_only=True,
        help_text="Requests that this row tells of: more than one if they were counted by the minute.",
    )
    test = serializers.BooleanField(source="is_test", read_only=True)
    again_of = serializers.UUIDField(
        read_only=True, allow_null=True, help_text="Of a test: the delivery that was sent again."
    )

    def get_digest(self, delivery: Delivery) -> str | None:
        return bytes(delivery.digest).hex() if delivery.digest is not None else None


class DeliverySerializer(DeliverySummarySerializer):
    headers = serializers.DictField(
        child=serializers.CharField(), read_only=True, help_text='Names, with their values or "[redacted]".'
    )
    detail = serializers.SerializerMethodField(
        help_text="What is known besides, e.g. which check of the signature failed. Null without the right to see it."
    )
    body = serializers.SerializerMethodField(
        help_text="Of a body mismatch of at most 16 KiB: what was sent. Null without the right to see events."
    )

    def get_detail(self, delivery: Delivery) -> dict[str, Any] | None:
        return delivery.detail if caller_of(self.context["request"]).may(DETAIL) else None

    def get_body(self, delivery: Delivery) -> Any:
        return delivery.body if caller_of(self.context["request"]).may(PAYLOAD) else None


class SendAgainSerializer(serializers.Serializer[Any]):
    as_ = serializers.ChoiceField([(one.value, one.value) for one in As])

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        return {"as": fields.pop("as_")}  # a word of Python's


class SentSerializer(serializers.Serializer[Any]):
    event_id = serializers.UUIDField(read_only=True)
    duplicate = serializers.BooleanField(source="is_duplicate", read_only=True)
    test = serializers.BooleanField(source="is_test", read_only=True)
    delivery_id = serializers.UUIDField(read_only=True, allow_null=True, help_text="The test's own delivery.")


class DeliveryViewSet(ApiViewSet):
    """What came to the addresses of workflows, and what became of it."""

    rights: ClassVar[dict[str, Right]] = {"list": VIEW, "retrieve": VIEW, "send_again": SEND}
    queryset = Delivery.objects.all()
    filterset_class = DeliveryFilter
    serializer_class: type[DeliverySerializer] = DeliverySerializer
    summary_class: type[DeliverySummarySerializer] = DeliverySummarySerializer

    def get_queryset(self) -> QuerySet[Delivery]:
        return Delivery.objects.all()

    @extend_schema(responses=DeliverySummarySerializer(many=True))
    def list(self, request: Request) -> Response:
        """Deliveries, the newest first, without their headers."""
        return self.page(self.get_queryset().defer("headers", "detail", "body"), self.summary_class)

    def retrieve(self, request: Request, pk: UUID) -> Response:
        """One delivery. What it carried is its event's."""
        return Response(self.get_serializer(self.get_queryset().get(pk=pk)).data)

    @extend_schema(request=SendAgainSerializer, responses={200: SentSerializer, 202: SentSerializer})
    @action(detail=True, methods=["post"], url_path="send-again", filterset_class=None)
    @answered_once
    def send_again(self, request: Request, pk: UUID) -> Response:
        """Send the payload again: as the `event` that it is, which never starts a second run (200, `duplicate`), or as a
        `test`, a real run of the draft as it is now (202). The latter also takes the right to edit the workflow.
        """
        Delivery.objects.only("pk").get(pk=pk)
        asked = SendAgainSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        as_ = As(asked.validated_data["as"])
        if as_ is As.TEST and not caller_of(request).may(TEST):
            raise PermissionDenied
        sent = sending.send_again(delivery_id=pk, as_=as_, by=caller_of(request).name)
        return Response(SentSerializer(sent).data, status=200 if sent.is_duplicate else 202)


class SampleSerializer(serializers.Serializer[Any]):
    delivery_id = serializers.UUIDField(read_only=True)
    event_id = serializers.UUIDField(read_only=True)
    at = serializers.DateTimeField(read_only=True)
    payload = serializers.JSONField(read_only=True)


class PathSerializer(serializers.Serializer[Any]):
    path = serializers.CharField(read_only=True, help_text="As templates write it: `trigger.customer.email`.")
    types = serializers.ListField(child=serializers.CharField(), read_only=True)
    samples = serializers.IntegerField(read_only=True, help_text="In how many it is there.")


class SamplesSerializer(serializers.Serializer[Any]):
    taken_at = serializers.DateTimeField(read_only=True, allow_null=True)
    taken_by = serializers.CharField(read_only=True, allow_null=True)
    left_out = serializers.IntegerField(read_only=True, help_text="Larger than a sample may be.")
    samples = SampleSerializer(many=True, read_only=True)
    paths = PathSerializer(many=True, read_only=True)


class TakeSamplesSerializer(serializers.Serializer[Any]):
    from_ = serializers.ChoiceField([("deliveries", "deliveries")])

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        return {"from": fields.pop("from_")}


class SamplesActions(ApiViewSet):
    """What the inbox adds to a workflow."""

    sample_rights: ClassVar[dict[str, Right]] = {
        "samples": PAYLOAD,
        "take_samples": CHANGE_SAMPLES,
        "throw_samples_away": CHANGE_SAMPLES,
    }

    @extend_schema(responses=SamplesSerializer, filters=False)
    @action(detail=True, pagination_class=None, filterset_class=None)
    def samples(self, request: Request, pk: UUID) -> Response:
        """Real payloads to write templates by, with the places that they have."""
        return Response(_samples(samples.of_workflow(pk)))

    @extend_schema(request=TakeSamplesSerializer, responses={200: SamplesSerializer})
    @samples.mapping.post
    @answered_once
    def take_samples(self, request: Request, pk: UUID) -> Response:
        """Make the payloads of the last ten accepted deliveries the samples. They are kept as they are."""
        samples.of_workflow(pk)
        TakeSamplesSerializer(data=request.data).is_valid(raise_exception=True)
        return Response(_samples(samples.take(workflow_id=pk, by=caller_of(request).name)))

    @extend_schema(responses={204: None})
    @samples.mapping.delete
    def throw_samples_away(self, request: Request, pk: UUID) -> Response:
        """Keep none."""
        samples.throw_away(workflow_id=pk, by=caller_of(request).name)
        return Response(status=204)


def _samples(taken: Samples | None) -> dict[str, Any]:
    payloads = taken.payloads if taken else []
    found = {
        "taken_at": taken and taken.taken_at,
        "taken_by": taken and taken.taken_by,
        "left_out": taken.left_out if taken else 0,
        "samples": payloads,
        "paths": samples.paths_in([one["payload"] for one in payloads]),
    }
    return dict(SamplesSerializer(found).data)
