"""The step and trigger types as a page can list them, drawn from their own models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from triggers.kinds import base as kinds
from workflows import step_types
from workflows.definitions import NoticeWebhook, OnFailure, Settings
from workflows.shapes import declared
from workflows.step_catalogue import fields_of
from workflows.step_types import AnyStepType
from workflows.trigger_types import trigger_type_names


@dataclass(frozen=True)
class ConfigField:
    name: str
    is_required: bool
    words: str  # its form, default and description


@dataclass(frozen=True)
class TypeEntry:
    name: str
    summary: str
    fields: list[ConfigField]
    gives: list[str]  # the fields of its output; empty when they are not known


def step_entries() -> list[TypeEntry]:
    return [_entry(one) for one in step_types.all_types()]


def trigger_entries() -> list[TypeEntry]:
    found = (kinds.find(name) for name in trigger_type_names())
    return [_entry(kind) for kind in found if kind]


def _entry(kind: AnyStepType | kinds.TriggerKind) -> TypeEntry:
    gives = fields_of(declared(kind.name, lambda: kind.output_schema({})))
    return TypeEntry(kind.name, kind.summary, _fields(kind.Config), [name for name, _, _ in gives])


def settings_fields() -> list[ConfigField]:
    """Of a whole workflow, with those of `on_failure` and its webhook under their paths."""
    told = [replace(one, name=f"on_failure.{one.name}") for one in _fields(OnFailure)]
    webhook = [replace(one, name=f"on_failure.webhook.{one.name}") for one in _fields(NoticeWebhook)]
    return [*_fields(Settings), *told, *webhook]


def _fields(model: type[BaseModel]) -> list[ConfigField]:
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    required = set(schema.get("required", []))
    return [
        ConfigField(name, name in required, _words(field, definitions))
        for name, field in schema.get("properties", {}).items()
    ]


def _words(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    form = _form(field, definitions)
    default = field.get("default")
    parts = [
        form,
        "" if default in (None, {}, []) else f"default {_spelled(default)}",
        field.get("description", ""),
    ]
    return ", ".join(part for part in parts if part)


def _form(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """`text`, `number`, `GET, POST or PUT`; nothing for what may be any JSON."""
    if "$ref" in field:
        return _form(definitions.get(field["$ref"].rpartition("/")[2], {}), definitions)
    if "enum" in field:
        *others, last = map(str, field["enum"])
        return f"{', '.join(others)} or {last}" if others else last
    if "anyOf" in field:
        forms = dict.fromkeys(form for one in field["anyOf"] if (form := _form(one, definitions)))
        return " or ".join(forms) if len(forms) <= 3 else ""
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "object": "object",
        "array": "list",
    }
    return words.get(field.get("type", ""), "")


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
