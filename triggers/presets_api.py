"""The API of the senders of webhooks that are known by name."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from lightfield.access.auth import Right
from lightfield.access.pagination import ByName
from lightfield.access.viewsets import ApiViewSet
from triggers.models import Trigger
from triggers.signatures import PRESETS
from triggers.webhook_serializers import PresetSerializer
from workflows import api as workflows


class WebhookPresetViewSet(ApiViewSet):
    """How well-known senders sign, and how to set them up."""

    rights: ClassVar[dict[str, Right]] = {"list": workflows.VIEW}
    queryset = Trigger.objects.none()
    pagination_class = ByName

    @extend_schema(
        responses={200: PresetSerializer(many=True)}, filters=False, operation_id="webhook_presets"
    )
    def list(self, request: Request) -> Response:
        """Every preset that `signature.preset` of a webhook's config can name."""
        return self.page_of(PRESETS, PresetSerializer)
