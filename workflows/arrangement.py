"""A definition as text for people: fields in the order in which they are told, whatever order jsonb keeps. Pure."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from lightfield.kernel.errors import RequestRefused
from workflows import step_types
from workflows.definitions import RetrySpec, dump, parse_definition
from workflows.trigger_types import find_trigger_type

JsonObject = dict[str, Any]


def as_text(document: JsonObject, *, is_brief: bool = False) -> str:
    """The definition as indented JSON.

    Args:
        is_brief: leave out what a step does not say itself: no name, and the usual retries. Reading the text
            gives the same definition.
    """
    return json.dumps(arranged(document, is_brief=is_brief), indent=2, ensure_ascii=False)


def arranged(document: JsonObject, *, is_brief: bool = False) -> JsonObject:
    """The same definition with its fields in the order of their models."""
    try:
        definition = dump(parse_definition(document))
    except RequestRefused:
        return document  # stored by another release: shown as it is
    if definition["trigger"]:
        definition["trigger"]["config"] = _ordered(
            definition["trigger"]["config"], find_trigger_type(definition["trigger"]["type"])
        )
    definition["steps"] = [_step(step, is_brief=is_brief) for step in definition["steps"]]
    return definition


def _step(step: JsonObject, *, is_brief: bool) -> JsonObject:
    step_type = step_types.find(step["type"])
    step["config"] = _ordered(step["config"], step_type.Config if step_type else None)
    if is_brief:
        if not step["name"]:
            del step["name"]
        if step["retry"] == RetrySpec().model_dump(mode="json"):
            del step["retry"]
    return step


def _ordered(config: JsonObject, model: type[BaseModel] | None) -> JsonObject:
    """Known fields first, in the model's order; the others behind them."""
    if model is None:
        return config
    names = [field.alias or name for name, field in model.model_fields.items()]
    return {
        **{name: config[name] for name in names if name in config},
        **{name: value for name, value in config.items() if name not in names},
    }
