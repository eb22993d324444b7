"""Started by a record that was created or updated, in the CRM or in any watched model of the project."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from lightfield.kernel.errors import Problem
from triggers.kinds.base import JsonObject, TriggerConfig, TriggerKind, register
from triggers.records import watching
from workflows.shapes import ANYTHING, TEXT, Schema, of_fields

FieldName = Annotated[str, Field(min_length=1, max_length=100)]


class RecordConfig(TriggerConfig):
    entity: str = Field(max_length=100, description="The watched model, such as contact or opportunity.")
    event: Literal["created", "updated"]
    fields: list[FieldName] = Field(
        default_factory=list,
        max_length=100,
        description="With updated: only when one of these has changed. Empty: any.",
    )
    own_changes: bool = Field(
        False,
        description="Also fire on changes that a run of this workflow made. It must then end the loop itself.",
    )


@register
class Record(TriggerKind):
    """Fires in the transaction of the change, whoever makes it; `docs/records.md` says what counts as one.

    Config: see `RecordConfig`.

    Output: `{"id", "type", "fields": {…}, "occurred_at"}`, for updates also
    `"_diff": {"stage": {"before": …, "after": …}}`.
    """

    name = "record"
    summary = "A record is created, or one of its fields changes"
    Config = RecordConfig

    def unpublishable(self, config: JsonObject) -> list[Problem]:
        try:
            written = RecordConfig.model_validate(config)
        except ValidationError:
            return []  # its shape is wrong, which is told elsewhere
        watch = watching.named(written.entity)
        if watch is None:
            known = ", ".join(watch.entity for watch in watching.all_watches())
            detail = f"No watched model is called {written.entity!r}; entity is one of {known}."
            return [Problem("/entity", "trigger.unknown_entity", detail)]
        if written.event == "created" and written.fields:
            detail = "Fields go with updated: in a new record all of them are new."
            return [Problem("/fields", "config.invalid", detail)]
        return [
            Problem(f"/fields/{number}", "trigger.unknown_field", flaw)
            for number, name in enumerate(written.fields)
            if (flaw := _flaw_of(watch, name))
        ]

    def sample(self, config: JsonObject) -> Any:
        """A record of this kind with nothing in it, so that the steps find what they refer to."""
        watch = watching.named(config.get("entity"))
        if watch is None:
            return None
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        told = {"id": "", "type": watch.entity, "fields": dict.fromkeys(watch.fields), "occurred_at": now}
        if config.get("event") == "updated":
            names = config.get("fields") or [name for name in watch.fields if name not in watch.quiet]
            told["_diff"] = {name: {"before": None, "after": None} for name in names}
        return told

    def output_schema(self, config: JsonObject) -> Schema | None:
        """The watched model's fields, and with updates what each of them was and is."""
        watch = watching.named(config.get("entity"))
        if watch is None:
            return None
        fields = {"id": ANYTHING, "type": TEXT, "fields": of_fields(dict.fromkeys(watch.fields, ANYTHING))}
        if config.get("event") == "updated":
            change = of_fields({"before": ANYTHING, "after": ANYTHING})
            fields["_diff"] = of_fields(dict.fromkeys(watch.fields, change))
        return of_fields({**fields, "occurred_at": TEXT})


def _flaw_of(watch: watching.Watch, name: str) -> str:
    """Why a trigger cannot watch this field; empty when it can."""
    if name in watch.quiet:
        return f"{name} changes with every save, so it says nothing about a change."
    if name in watch.fields:
        return ""
    known = ", ".join(name for name in watch.fields if name not in watch.quiet)
    return f"{watch.entity} has no field {name!r} to watch; there are {known}."
