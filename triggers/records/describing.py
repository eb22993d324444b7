"""What can be watched, as people and programs ask for it: the builder, the API and the refusals of a config."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.db import connection

from triggers.records import watching
from triggers.records.columns import item_type
from triggers.records.watching import AnyField, Watch


class Form(StrEnum):
    """How an event tells a value. Any may be null."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    DATE = "date"
    TIME = "time"
    SECONDS = "seconds"
    BASE64 = "base64"
    LIST = "list"
    JSON = "json"


FORMS = {
    **dict.fromkeys(("smallint", "integer", "bigint", "numeric", "real", "double precision"), Form.NUMBER),
    "boolean": Form.BOOLEAN,
    "timestamp with time zone": Form.INSTANT,
    "date": Form.DATE,
    "time": Form.TIME,
    "interval": Form.SECONDS,
    "bytea": Form.BASE64,
    "jsonb": Form.JSON,
}


@dataclass(frozen=True)
class FieldEntry:
    name: str
    label: str
    form: Form
    refers_to: str | None  # the entity whose id it is; the model's label when nobody watches that
    is_watchable: bool  # False: it changes with every save, and so is told and no reason to fire


@dataclass(frozen=True)
class Entry:
    entity: str
    label: str
    fields: list[FieldEntry]

    @property
    def watchable_names(self) -> list[str]:
        return [field.name for field in self.fields if field.is_watchable]


def entries() -> list[Entry]:
    """Every watched model of the project, by name, with its fields in their order."""
    return [
        Entry(
            watch.entity,
            str(watch.model._meta.verbose_name).capitalize(),
            [_field_entry(watch, name, field) for name, field in watch.fields.items()],
        )
        for watch in watching.all_watches()
    ]


def _field_entry(watch: Watch, name: str, field: AnyField) -> FieldEntry:
    return FieldEntry(
        name, str(field.verbose_name).capitalize(), form_of(field), _target(field), name not in watch.quiet
    )


def form_of(field: AnyField) -> Form:
    """How an event tells the values of this field."""
    kind = field.db_type(connection) or ""
    return Form.LIST if item_type(kind) else FORMS.get(kind.partition("(")[0], Form.TEXT)


def _target(field: AnyField) -> str | None:
    if field.related_model is None or isinstance(field.related_model, str):
        return None
    watch = watching.find(field.related_model)
    return watch.entity if watch else field.related_model._meta.label
