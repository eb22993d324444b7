"""The API of the recipes: whole workflows to begin with."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lightfield.access.auth import Right
from lightfield.access.pagination import ByName
from lightfield.access.viewsets import ApiViewSet
from lightfield.examples import EXAMPLES
from workflows import api as workflows
from workflows.models import Workflow


class ExampleSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(read_only=True)
    title = serializers.CharField(read_only=True)
    summary = serializers.CharField(read_only=True)
    definition = serializers.JSONField(
        read_only=True, help_text="Send it to POST /api/v1/workflows, as it is or changed."
    )


class ExampleViewSet(ApiViewSet):
    """Recipes: definitions that come with the product."""

    rights: ClassVar[dict[str, Right]] = {"list": workflows.VIEW}
    queryset = Workflow.objects.none()
    pagination_class = ByName

    @extend_schema(responses={200: ExampleSerializer(many=True)}, filters=False, operation_id="examples")
    def list(self, request: Request) -> Response:
        """Every recipe with its definition."""
        return self.page_of(sorted(EXAMPLES, key=lambda example: example.name), ExampleSerializer)
