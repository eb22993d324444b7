"""Records as steps give them: `{"id", "type", "fields"}`, told by the same SQL that makes the events of record triggers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from crm.steps.entities import ENTITIES, Entity
from lightfield.kernel import sql, strict_json
from triggers.records.columns import fields_sql, pk_sql, pk_type, table_sql
from triggers.records.watching import Watch
from workflows.shapes import ANYTHING, TEXT, Schema, of_fields

ROW: Final = "r"  # what the table is called in statements


def record_of(entity: Entity, record_id: UUID) -> dict[str, Any]:
    """A record that is there, as it is stored."""
    found = stored(entity, record_id)
    assert found is not None  # the caller's transaction has just written it
    return found


def stored(entity: Entity, record_id: UUID) -> dict[str, Any] | None:
    """The record of this id; None when there is none."""
    found = sql.row(_one(entity.watch), {"id": str(record_id)})
    return None if found is None else told(entity, str(record_id), found[0])


def told(entity: Entity, record_id: str, fields: str) -> dict[str, Any]:
    """`fields`: its JSON text."""
    return {"id": record_id, "type": entity.name, "fields": strict_json.from_storage(fields)}


def shape_of(config: dict[str, Any]) -> dict[str, Schema]:
    """What is known of such a record, from the config of a step as it is written."""
    name = config.get("entity")
    entity = ENTITIES.get(name) if isinstance(name, str) else None
    fields = of_fields(dict.fromkeys(entity.watch.fields, ANYTHING)) if entity else ANYTHING
    return {"id": TEXT, "type": TEXT, "fields": fields}


@lru_cache(maxsize=64)
def _one(watch: Watch) -> str:
    return (
        f"SELECT ({fields_sql(watch, ROW)})::text FROM {table_sql(watch)} {ROW} "
        f"WHERE {ROW}.{pk_sql(watch)} = %(id)s::text::{pk_type(watch)}"
    )
