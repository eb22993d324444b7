"""The installed step types as documents: for `bin/manage steps` and `GET /api/v1/step-types`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps

from workflows import step_types
from workflows.shapes import Schema, declared
from workflows.step_types import AnyStepType


@dataclass(frozen=True)
class StepTypeEntry:
    name: str
    lane: str
    summary: str
    app: str  # the dotted name of the Django app whose module it stands in, or the module
    config_schema: Schema
    output_schema: Schema | None


def described() -> list[StepTypeEntry]:
    """Every installed step type, by name."""
    return [_entry(one) for one in step_types.all_types()]


def _entry(step_type: AnyStepType) -> StepTypeEntry:
    module = type(step_type).__module__
    app = apps.get_containing_app_config(module)
    return StepTypeEntry(
        name=step_type.name,
        lane=step_type.lane,
        summary=step_type.summary,
        app=app.name if app else module,
        config_schema=declared(step_type.name, step_type.Config.model_json_schema) or {},
        output_schema=declared(step_type.name, lambda: step_type.output_schema({})),
    )


def fields_of(schema: Schema | None) -> list[tuple[str, dict[str, Any], bool]]:
    """Name, schema and whether it is required, of each field that an object's schema names."""
    if schema is None:
        return []
    if "$ref" in schema:
        schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    required = schema.get("required", [])
    return [(name, field, name in required) for name, field in schema.get("properties", {}).items()]
