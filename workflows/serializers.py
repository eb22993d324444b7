"""How workflows and versions look outside. Every field is named here; nothing of a row slips out by itself."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from workflows.models import Workflow, WorkflowStatus

# Components of `Definition`: the document of POST /workflows registers them.
SETTINGS: Final = {"$ref": "#/components/schemas/Settings"}
TRIGGER: Final = {"anyOf": [{"$ref": "#/components/schemas/TriggerSpec"}, {"type": "null"}]}
STEPS: Final = {"type": "array", "items": {"$ref": "#/components/schemas/StepSpec"}}
PAUSED_REASON: Final = (
    "The code of the catalogue when the system paused it; null when a person did, or when it is not paused."
)
EDITABLE: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Any of a definition's top-level parts; each takes the place of its own.",
    "additionalProperties": False,
    "properties": {
        "schema": {"type": "integer", "const": 1},
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "description": {"type": "string", "maxLength": 2000},
        "settings": SETTINGS,
        "trigger": TRIGGER,
        "steps": STEPS,
    },
}


@extend_schema_field(SETTINGS)
class SettingsField(serializers.JSONField):
    pass


@extend_schema_field(TRIGGER)
class TriggerField(serializers.JSONField):
    pass


@extend_schema_field(STEPS)
class StepsField(serializers.JSONField):
    pass


class DocumentSerializer(serializers.Serializer[Any]):
    """A row that holds a definition: its own fields first, then the definition's parts beside them."""

    document: ClassVar[str]  # the column
    parts: ClassVar[list[str]] = ["schema", "name", "description", "settings", "trigger", "steps"]

    schema = serializers.IntegerField(read_only=True)
    name = serializers.CharField(read_only=True)
    description = serializers.CharField(read_only=True)
    settings = SettingsField(read_only=True)
    trigger = TriggerField(read_only=True, allow_null=True)
    steps = StepsField(read_only=True)

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        for part in self.parts:
            field = fields.pop(part)
            field.source = f"{self.document}.{part}"
            fields[part] = field
        return fields


class WorkflowSerializer(DocumentSerializer):
    document = "draft"

    id = serializers.UUIDField(read_only=True)
    status = serializers.ChoiceField(WorkflowStatus.choices, read_only=True)
    paused_reason = serializers.SerializerMethodField(help_text=PAUSED_REASON)
    active_version = serializers.IntegerField(
        source="active_number", read_only=True, allow_null=True, help_text="What runs; null: not published."
    )
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def get_paused_reason(self, workflow: Workflow) -> str | None:
        return workflow.paused_reason or None


class WorkflowSummarySerializer(serializers.Serializer[Any]):
    """A workflow in a list."""

    id = serializers.UUIDField(read_only=True)
    name = serializers.CharField(read_only=True)
    description = serializers.CharField(read_only=True)
    status = serializers.ChoiceField(WorkflowStatus.choices, read_only=True)
    active_version = serializers.IntegerField(source="active_number", read_only=True, allow_null=True)
    trigger_type = serializers.CharField(read_only=True, allow_null=True, help_text="Of the draft.")
    step_count = serializers.IntegerField(read_only=True, help_text="Of the draft.")
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


class WarningSerializer(serializers.Serializer[Any]):
    pointer = serializers.CharField(read_only=True, help_text="RFC 6901, into the definition.")
    code = serializers.CharField(read_only=True, help_text="Of the error catalogue.")
    detail = serializers.CharField(read_only=True)


class PublishedSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(source="number", read_only=True)
    checksum = serializers.CharField(read_only=True, help_text="SHA-256 of the definition's canonical JSON.")
    warnings = WarningSerializer(
        many=True,
        read_only=True,
        source="foreseen",
        help_text="What will probably go wrong when it runs, or puts data at risk; nothing was refused for it.",
    )


class VersionSerializer(DocumentSerializer):
    document = "definition"

    version = serializers.IntegerField(source="number", read_only=True)
    checksum = serializers.CharField(read_only=True, help_text="SHA-256 of the definition's canonical JSON.")
    published_at = serializers.DateTimeField(read_only=True)
    published_by = serializers.CharField(read_only=True)
