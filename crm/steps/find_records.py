"""`find_records`: the records that meet conditions."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final, TypeVar

from django.db import connection
from pydantic import Field, JsonValue, model_validator

from crm.steps.entities import (
    CUSTOM,
    ENTITIES,
    Entity,
    EntityName,
    FieldName,
    is_own,
    no_such_field,
    templated_name,
)
from crm.steps.filters import Condition, condition_of
from crm.steps.reading import ROW, shape_of, told
from crm.steps.refusals import permanent
from lightfield.kernel.errors import PermanentStepError, Problem, RequestRefused
from triggers.records.columns import fields_sql, pk_sql, quoted, table_sql
from workflows.comparisons import Operator
from workflows.expressions import templates_in
from workflows.shapes import Schema, of_fields
from workflows.step_types import (
    Completed,
    JsonObject,
    StepConfig,
    StepContext,
    TransactionalStepType,
    register,
)

R = TypeVar("R")

MOST_RECORDS: Final = 100
MOST_BYTES: Final = (
    900_000  # of JSON; a step's output may have 1 MiB, and the first record stands in it twice
)


class Filter(StepConfig):
    field: FieldName
    operator: Operator
    value: JsonValue = None

    @model_validator(mode="after")
    def _has_value(self) -> Filter:
        if self.operator != "is_set" and "value" not in self.model_fields_set:
            raise ValueError(f"The operator {self.operator} needs a value.")
        return self


class FindRecordsConfig(StepConfig):
    entity: EntityName
    filters: list[Filter] = Field(
        default_factory=list, max_length=20, description="All must hold: field, operator and value of each."
    )
    sort: list[Annotated[str, Field(min_length=1, max_length=300)]] = Field(
        default_factory=list, max_length=5, description="Fields; with - in front, in descending order."
    )
    limit: int = Field(25, ge=1, le=MOST_RECORDS)


@register
class FindRecords(TransactionalStepType[FindRecordsConfig]):
    """Find records. None found is no error.

    Config: see `FindRecordsConfig`. Operators are those of `workflows.comparisons`; the value is read as what the field
        is, and `custom.plan` is one of your own fields. Without `sort`, and among equals, the newest come first; what is
        not set comes last.

    Output: `{"records": [{"id", "type", "fields": {…}}, …], "count": how many these are, "first": the first or null}`.

    Raises:
        PermanentStepError: `config.invalid` when a value does not go with its field; `step.output_too_large`.
        TransientStepError: `step.timeout` when the database takes more than 5 s.
    """

    name = "find_records"
    summary = "Find records by their fields"
    Config = FindRecordsConfig
    has_effect = False

    def output_schema(self, config: JsonObject) -> Schema:
        record = of_fields(shape_of(config))
        return of_fields(
            {
                "records": {"type": "array", "items": record},
                "count": {"type": "integer"},
                "first": {"anyOf": [record, {"type": "null"}]},
            }
        )

    def unpublishable(self, config: JsonObject) -> list[Problem]:
        if flaws := templated_name(config):
            return flaws
        entity = ENTITIES[config["entity"]]
        problems = []
        for number, one in _written_out(config, "filters", dict):
            is_open = any(templates_in([one["operator"], one.get("value")]))  # judged once it is filled in
            known = {**one, "operator": "is_set"} if is_open else one
            problems += _flaws_of_filter(entity, known, f"/filters/{number}", f"f{number}")
        for number, name in _written_out(config, "sort", str):
            if flaw := _unknown(entity, name.removeprefix("-")):
                problems.append(Problem(f"/sort/{number}", "record.unknown_field", flaw))
        return problems

    def execute(self, config: FindRecordsConfig, context: StepContext) -> Completed:  # noqa: ARG002  as all steps
        records = find(config)
        return Completed(
            {"records": records, "count": len(records), "first": records[0] if records else None}
        )


def find(config: FindRecordsConfig) -> list[JsonObject]:
    """The records, in their order: one statement. Raises as the step does."""
    entity = ENTITIES[config.entity]
    conditions = [
        _condition(entity, one.model_dump(), f"/filters/{number}", f"f{number}")
        for number, one in enumerate(config.filters)
    ]
    order, params = _order(entity, config.sort)
    for condition in conditions:
        params |= condition.params
    # Not prepared: there are as many statements as authors think of, and each has its own best plan.
    with connection.cursor() as cursor:
        cursor.execute(_statement(entity, conditions, order), {**params, "limit": config.limit})
        return [told(entity, record_id, _kept(fields)) for record_id, fields in cursor.fetchall()]


def _written_out(config: JsonObject, part: str, kind: type[R]) -> list[tuple[int, R]]:
    """The items of a list as it is written, with their places. What a template stands for is judged once it is filled in."""
    items = config.get(part)
    written = items if isinstance(items, list) else []
    return [(number, one) for number, one in enumerate(written) if isinstance(one, kind)]


def _flaws_of_filter(entity: Entity, one: dict[str, Any], at: str, prefix: str) -> list[Problem]:
    if flaw := _unknown(entity, one["field"]):
        return [Problem(f"{at}/field", "record.unknown_field", flaw)]
    try:
        condition_of(entity, one["field"], one["operator"], one.get("value"), prefix)
    except RequestRefused as refused:
        return [replace(problem, pointer=f"{at}/value") for problem in refused.problems]
    return []


def _condition(entity: Entity, one: dict[str, Any], at: str, prefix: str) -> Condition:
    """Raises PermanentStepError."""
    if flaws := _flaws_of_filter(entity, one, at, prefix):
        raise permanent(flaws[0].code if flaws[0].code == "config.invalid" else "record.invalid", flaws)
    return condition_of(entity, one["field"], one["operator"], one["value"], prefix)


def _unknown(entity: Entity, name: str) -> str:
    """Why there is no such field; empty when there is."""
    return "" if name in entity.columns or is_own(name) else no_such_field(entity, name, entity.columns)


def _order(entity: Entity, sort: list[str]) -> tuple[str, dict[str, Any]]:
    """Raises PermanentStepError."""
    parts, params = [], {}
    for number, text in enumerate(sort):
        name = text.removeprefix("-")
        if flaw := _unknown(entity, name):
            raise permanent("record.invalid", [Problem(f"/sort/{number}", "record.unknown_field", flaw)])
        column = f"{ROW}.{quoted(entity.columns['custom' if name.startswith(CUSTOM) else name].column)}"
        if name.startswith(CUSTOM):
            params[f"s{number}"] = name[len(CUSTOM) :]
            column = f"({column} -> %(s{number})s::text)"
        parts.append(f"{column} {'DESC' if text.startswith('-') else 'ASC'} NULLS LAST")
    return ", ".join([*parts, f"{ROW}.{pk_sql(entity.watch)} DESC"]), params


def _statement(entity: Entity, conditions: list[Condition], order: str) -> str:
    """Of records that are too much together, no field is read into memory."""
    watch = entity.watch
    where = " AND ".join(f"({condition.sql})" for condition in conditions) or "true"
    return f"""
WITH wanted AS MATERIALIZED (
  SELECT {ROW}.* FROM {table_sql(watch)} {ROW} WHERE {where} ORDER BY {order} LIMIT %(limit)s),
told AS MATERIALIZED (
  SELECT {ROW}.{pk_sql(watch)}::text AS id, ({fields_sql(watch, ROW)})::text AS fields,
    row_number() OVER (ORDER BY {order}) AS place
  FROM wanted {ROW})
SELECT id, CASE WHEN sum(octet_length(fields)) OVER () <= {MOST_BYTES} THEN fields END FROM told ORDER BY place
"""


def _kept(fields: str | None) -> str:
    if fields is None:
        detail = f"The records have more than {MOST_BYTES:,} bytes together; lower the limit, or filter more."
        raise PermanentStepError("step.output_too_large", detail)
    return fields
