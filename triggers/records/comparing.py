"""Whether a save may have changed a field, from what is about to be written. Cautious: in doubt it may have.

What really changed is found by the database, row against row. This saves that statement where the answer is plainly
no, and so must never say no when it is yes.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import FileField, ForeignKey, JSONField, Model

from triggers.records.watching import AnyField, Watch

_UNKNOWN = object()
_decode = json.JSONDecoder(parse_float=Decimal).decode


def written_fields(watch: Watch, update_fields: Collection[str] | None) -> list[AnyField]:
    """The watched fields that a save writes, or that the database works out anew with it."""
    return [
        field
        for name, field in watch.fields.items()
        if name not in watch.quiet
        and (
            not update_fields
            or field.generated
            or field.name in update_fields
            or field.attname in update_fields
        )
    ]


def maybe_changed(
    watch: Watch,
    instance: Model,
    before: str,
    update_fields: Collection[str] | None,
    *,
    among: Collection[str] = (),
) -> frozenset[str]:
    """The fields that a save may have changed.

    Args:
        before: the record as it was, as JSON text.
        among: only these are looked at; empty for all.
    """
    written = written_fields(watch, update_fields)
    fields = [field for field in written if field.name in among] if among else written
    try:
        values = _decode(before)
    except (ValueError, RecursionError):  # jsonb holds longer numbers and deeper nests than Python reads
        return frozenset(field.name for field in fields)
    return frozenset(
        field.name for field in fields if not _is_surely(field, instance, values.get(field.name))
    )


def _is_surely(field: AnyField, instance: Model, stored: Any) -> bool:
    """Whether the instance holds for this field just what the database holds."""
    value = _as_stored(field, instance)
    if isinstance(field, JSONField):
        return value is not _UNKNOWN and _is_same_json(field, value, stored)
    return _is_same(value, stored)


def _as_stored(field: AnyField, instance: Model) -> Any:
    """The value as `columns` would tell it, or something that holds `_UNKNOWN`."""
    if not _is_plain(field) or field.attname not in instance.__dict__:
        return _UNKNOWN
    value = instance.__dict__[field.attname]
    if value is None or isinstance(field, JSONField):
        return value
    if hasattr(value, "resolve_expression"):  # which a text field would turn into a text
        return _UNKNOWN
    target = field.target_field if isinstance(field, ForeignKey) else field
    try:
        return _plain(target.to_python(value))
    except Exception:  # noqa: BLE001  whatever a field makes of an odd value: ask the database
        return _UNKNOWN


@cache
def _is_plain(field: AnyField) -> bool:
    """Whether saving stores the attribute as it is. Of a field that is not Django's own nobody knows."""
    if field.generated or not type(field).__module__.startswith("django."):
        return False
    inner = field.target_field if isinstance(field, ForeignKey) else getattr(field, "base_field", None)
    if inner is not None and not _is_plain(inner):
        return False
    return not (isinstance(field, FileField) or getattr(field, "auto_now", False))


def _plain(value: Any) -> Any:
    match value:
        case str():
            return str.__str__(
                value
            )  # of an enumeration the text that is stored, whatever its own `__str__` says
        case bool() | int() | Decimal():
            return value
        case float():
            return Decimal(repr(value))
        case UUID():
            return str(value)
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case date() if not isinstance(value, datetime):
            return value.isoformat()
        case list() | tuple():
            return [None if item is None else _plain(item) for item in value]
    return _UNKNOWN


def _is_same(value: Any, stored: Any) -> bool:
    """For JSON to PostgreSQL: numbers by their value, and true is no number."""
    if value is None or stored is None or isinstance(value, bool) or isinstance(stored, bool):
        return value is stored
    if isinstance(value, list) and isinstance(stored, list):
        return len(value) == len(stored) and all(map(_is_same, value, stored))
    if isinstance(value, str) and isinstance(stored, str):
        return value == stored
    return isinstance(value, int | Decimal) and isinstance(stored, int | Decimal) and value == stored


def _is_same_json(field: JSONField[Any, Any], value: Any, stored: Any) -> bool:
    try:
        written = json.dumps(value, sort_keys=True, cls=field.encoder)
        return written == json.dumps(stored, sort_keys=True, default=_exact_float)
    except (TypeError, ValueError, RecursionError):  # no JSON: saving it will say so, or it is an expression
        return False


def _exact_float(value: Any) -> float:
    """A number out of the database, if a Python float holds just that number."""
    if isinstance(value, Decimal) and Decimal(repr(float(value))) == value:
        return float(value)
    raise TypeError
