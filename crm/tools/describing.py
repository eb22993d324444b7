"""The tools as a model is told of them: the arguments as JSON Schema, the fields of each entity in one line.

One line and not a schema of every field: providers refuse schemas that depend on another argument, and every turn pays for
each word. The fields are those of the API, so what is said here is what is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from rest_framework import serializers

from crm.email_address import EmailAddressSerializerField
from crm.serializers import AddressField, CustomField
from crm.steps.entities import ENTITIES, Entity
from crm.steps.filters import OPERATORS
from crm.steps.find_records import MOST_RECORDS, FindRecordsConfig
from crm.tools.references import AUTHOR, entity_of, target_of
from crm.tools.scope import READING, Scope
from crm.tools.unread import known_by
from crm.values import ADDRESS_DEGREES, ADDRESS_TEXTS
from executions.agents.values import JsonObject, ToolSpec

OWN = "custom.<name>: any JSON, fields of their own"
ID = {"type": "string", "description": "The record's id, as a tool has told it."}


def finding(scope: Scope) -> ToolSpec:
    names = scope.names(READING)
    item = _object(
        {
            "field": {"type": "string", "description": "One of the entity's fields."},
            "operator": {"type": "string", "enum": list(OPERATORS)},
            "value": {
                "description": "Text, number, true or false, null; a list for is_any_of and is_none_of; none for is_set."
            },
        },
        "field",
        "operator",
    )
    most = {name: FindRecordsConfig.model_fields[name].metadata[0].max_length for name in ("filters", "sort")}
    properties = {
        "entity": _entity(names),
        "filters": _list(item, "All of them must hold.", most["filters"]),
        "sort": _list(
            {"type": "string"}, "Fields; with - in front, in descending order. Newest first.", most["sort"]
        ),
        "limit": {"type": "integer", "minimum": 1, "maximum": MOST_RECORDS, "default": 25},
    }
    text = "Find records by their fields. Texts match with their case, but for e-mail addresses and names of accounts."
    return ToolSpec(
        "find_records", f"{text} Fields:\n{_lines(names, _told_fields)}", _object(properties, "entity")
    )


def getting(scope: Scope) -> ToolSpec:
    parameters = _object({"entity": _entity(scope.names(READING)), "id": ID}, "entity", "id")
    return ToolSpec("get_record", "Read one record whose id is known, its long texts included.", parameters)


def creating(scope: Scope) -> ToolSpec:
    names = scope.names("create")
    properties = {"entity": _entity(names), "fields": _fields("What it shall have.")}
    text = f"Create a record. Fields (* needed):\n{_lines(names, lambda entity: _set_fields(entity, scope, stars=True))}"
    return ToolSpec("create_record", text, _object(properties, "entity", "fields"))


def updating(scope: Scope) -> ToolSpec:
    names = scope.names("update")
    properties = {
        "entity": _entity(names),
        "id": ID,
        "fields": _fields("Those to change; null clears one."),
    }
    text = f"Change some fields of a record whose id is known. Fields:\n{_lines(names, lambda entity: _set_fields(entity, scope))}"
    return ToolSpec("update_record", text, _object(properties, "entity", "id", "fields"))


def upserting(scope: Scope) -> ToolSpec:
    names = scope.names("upsert")
    keys = "; ".join(f"{name}: by {_match_fields(ENTITIES[name], scope)}" for name in names)
    properties = {
        "entity": _entity(names),
        "match": _fields(f"Which record is meant. {keys}."),
        "fields": _fields("What it shall have besides."),
    }
    text = (
        "Change the record that has the values of match, or create one with them. "
        f"Fields (* needed by a new one):\n{_lines(names, lambda entity: _set_fields(entity, scope, stars=True))}"
    )
    return ToolSpec("upsert_record", text, _object(properties, "entity", "match"))


def _object(properties: JsonObject, *required: str) -> JsonObject:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: JsonObject, description: str, most: int) -> JsonObject:
    return {"type": "array", "items": items, "maxItems": most, "description": description}


def _entity(names: list[str]) -> JsonObject:
    return {"type": "string", "enum": names}


def _fields(description: str) -> JsonObject:
    return {"type": "object", "description": description}


def _lines(names: Iterable[str], fields: Callable[[Entity], str]) -> str:
    return "\n".join(f"{name}: {fields(ENTITIES[name])}; {OWN}" for name in names)


@cache
def _told_fields(entity: Entity) -> str:
    return _grouped(entity, [name for name in entity.form if name != "custom"])


def _set_fields(entity: Entity, scope: Scope, *, stars: bool = False) -> str:
    names = [name for name in entity.form if _may_be_set(entity, scope, name)]
    return _grouped(entity, names, stars=stars)


def _may_be_set(entity: Entity, scope: Scope, name: str) -> bool:
    if name in ("custom", AUTHOR) or entity.form[name].read_only:
        return False
    target = target_of(entity, name)
    known = entity_of(target) if target else None
    return known is None or scope.may_reach(known)


def _match_fields(entity: Entity, scope: Scope) -> str:
    return "any of its fields" if scope.may_read(entity) else " and ".join(known_by(entity))


def _grouped(entity: Entity, names: Iterable[str], *, stars: bool = False) -> str:
    """`first_name, last_name (text); email (e-mail)`"""
    groups: dict[str, list[str]] = {}
    for name in names:
        star = "*" if stars and entity.form[name].required else ""
        groups.setdefault(_kind(entity, name), []).append(name + star)
    return "; ".join(f"{', '.join(found)} ({kind})" for kind, found in groups.items())


def _kind(entity: Entity, name: str) -> str:
    """What its values are, in a word or two."""
    if target := target_of(entity, name):
        known = entity_of(target)
        return f"id of {_an(known.name)}" if known else "id of a person"
    if name == "id":
        return "id"
    return _kind_of(entity.form[name])


def _kind_of(form: Any) -> str:
    match form:
        case serializers.ChoiceField():
            return " | ".join(map(str, form.choices))
        case CustomField():
            return "object"
        case AddressField():
            return f"object of {', '.join((*ADDRESS_TEXTS, *ADDRESS_DEGREES))}"
        case serializers.ListField():
            return f"list of {_kind_of(form.child)}"
        case EmailAddressSerializerField():
            return "e-mail"
        case serializers.URLField():
            return "URL"
        case serializers.BooleanField():
            return "true or false"
        case serializers.DecimalField() | serializers.IntegerField() | serializers.FloatField():
            return "number"
        case serializers.DateTimeField():
            return "instant, 2026-03-01T09:00:00Z"
    return "text"


def _an(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
