"""The API of the step types that are installed."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lightfield.access.auth import Right
from lightfield.access.pagination import ByName
from lightfield.access.viewsets import ApiViewSet
from workflows import api as workflows
from workflows.models import Workflow
from workflows.step_catalogue import described


class StepTypeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(read_only=True, help_text="`type` of a step.")
    lane = serializers.ChoiceField(
        ["fast", "http", "ai"],
        read_only=True,
        help_text="Which workers run it; fast steps run in the engine.",
    )
    summary = serializers.CharField(read_only=True)
    app = serializers.CharField(read_only=True, help_text="The Django app that brings it.")
    config_schema = serializers.JSONField(
        read_only=True,
        help_text="JSON Schema of a step's config once its templates are filled in: any string may be one.",
    )
    output_schema = serializers.JSONField(
        read_only=True, allow_null=True, help_text="JSON Schema of what later steps read; null: any object."
    )


class StepTypeViewSet(ApiViewSet):
    """What a step of a workflow can be."""

    rights: ClassVar[dict[str, Right]] = {"list": workflows.VIEW}
    queryset = Workflow.objects.none()
    pagination_class = ByName

    @extend_schema(responses={200: StepTypeSerializer(many=True)}, filters=False, operation_id="step_types")
    def list(self, request: Request) -> Response:
        """Every installed step type with the schemas of its config and output."""
        return self.page_of(described(), StepTypeSerializer)
