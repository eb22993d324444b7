"""`create_record`: a new record."""

from __future__ import annotations

from pydantic import Field

from crm import services
from crm.steps.entities import ENTITIES, EntityName, Values, templated_name
from crm.steps.fields import accepted, flaws_in
from crm.steps.reading import record_of
from crm.steps.refusals import places_in, refusals_told
from crm.steps.writing import Author, author_of, written, written_schema
from lightfield.kernel.errors import Problem
from workflows.shapes import Schema
from workflows.step_types import (
    Completed,
    JsonObject,
    StepConfig,
    StepContext,
    TransactionalStepType,
    register,
)


class CreateRecordConfig(StepConfig):
    entity: EntityName
    fields: Values = Field(description="As POST takes them; custom.plan is one of your own.")


@register
class CreateRecord(TransactionalStepType[CreateRecordConfig]):
    """Create a record, exactly once for each run.

    Config: see `CreateRecordConfig`; the fields are those of the API (`docs/records.md`).

    Output: `{"id", "type", "fields": {…}, "created": true}`, with the fields that record triggers tell.

    Raises:
        PermanentStepError: `record.invalid`; `record.duplicate` when another has its natural key.
    """

    name = "create_record"
    summary = "Create a record"
    Config = CreateRecordConfig

    def output_schema(self, config: JsonObject) -> Schema:
        return written_schema(config)

    def unpublishable(self, config: JsonObject) -> list[Problem]:
        return templated_name(config) or [
            *flaws_in(ENTITIES[config["entity"]], "fields", config["fields"], is_new=True)
        ]

    def execute(self, config: CreateRecordConfig, context: StepContext) -> Completed:
        return written(create(config, author_of(context)), is_new=True)


def create(config: CreateRecordConfig, author: Author) -> JsonObject:
    """Do it, inside the caller's transaction; the record as it is stored. Raises as the step does."""
    entity = ENTITIES[config.entity]
    with refusals_told(entity.model, places_in(fields=config.fields)):
        record = entity.model(**accepted(entity, config.fields, is_new=True))
        services.insert(record, **author)
    return record_of(entity, record.pk)
