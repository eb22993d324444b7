"""The API of the senders of webhooks that are known by name."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lightfield.access.auth import Right
from lightfield.access.viewsets import ApiViewSet
from triggers.models import Trigger
from triggers.signatures import PRESETS
from triggers.webhook_serializers import PresetSerializer
from workflows import api as workflows


class PresetsSerializer(serializers.Serializer[Any]):
    presets = PresetSerializer(many=True, read_only=True)


class WebhookPresetViewSet(ApiViewSet):
    """How well-known senders sign, and how to set them up. A part of the release, not of its data: so it has no pages."""

    rights: ClassVar[dict[str, Right]] = {"list": workflows.VIEW}
    queryset = Trigger.objects.none()
    pagination_class = None  # type: ignore[assignment]  # says the framework

    @extend_schema(responses={200: PresetsSerializer}, filters=False, operation_id="webhook_presets")
    def list(self, request: Request) -> Response:
        """Every preset that `signature.preset` of a webhook's config can name."""
        return Response(PresetsSerializer({"presets": PRESETS}).data)
