"""The API of what record triggers can watch."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lightfield.access.auth import Right
from lightfield.access.pagination import ByEntity
from lightfield.access.viewsets import ApiViewSet
from triggers.models import Trigger
from triggers.records import describing
from workflows import api as workflows


class WatchableFieldSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(
        read_only=True, help_text="In `fields`, in `_diff`, and in a trigger's config."
    )
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]  # serializers have one too
    type = serializers.ChoiceField(
        [form.value for form in describing.Form],
        source="form",
        read_only=True,
        help_text="How an event tells its value, which may also be null.",
    )
    refers_to = serializers.CharField(
        read_only=True,
        allow_null=True,
        help_text="The record whose id it is; a model's label if nobody watches that.",
    )
    watchable = serializers.BooleanField(
        source="is_watchable", read_only=True, help_text="False: told, but it changes with every save."
    )


class WatchableSerializer(serializers.Serializer[Any]):
    entity = serializers.CharField(read_only=True)
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]  # a field of the answer, not the base's attribute
    fields = WatchableFieldSerializer(many=True, read_only=True)  # type: ignore[assignment]  # a field of the answer, not the base's attribute


class WatchableViewSet(ApiViewSet):
    """What the triggers of workflows can watch."""

    rights: ClassVar[dict[str, Right]] = {"list": workflows.VIEW}
    queryset = Trigger.objects.none()
    pagination_class = ByEntity

    @extend_schema(responses={200: WatchableSerializer(many=True)}, filters=False, operation_id="watchables")
    def list(self, request: Request) -> Response:
        """Every kind of record that a trigger can name as `entity`, with its fields."""
        return self.page_of(describing.entries(), WatchableSerializer)
