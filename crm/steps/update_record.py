"""`update_record`: some fields of a record that is known by its id."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from crm import services
from crm.models import Record
from crm.steps.entities import ENTITIES, Entity, EntityName, Values, templated_name
from crm.steps.fields import accepted, flaws_in
from crm.steps.reading import record_of
from crm.steps.refusals import permanent, places_in, refusals_told
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


class UpdateRecordConfig(StepConfig):
    entity: EntityName
    id: str = Field(max_length=100, description="Such as {{ trigger.id }}.")
    fields: Values = Field(
        description="Those to change, as PATCH takes them; custom.plan is one of your own."
    )


@register
class UpdateRecord(TransactionalStepType[UpdateRecordConfig]):
    """Change some fields of a record, exactly once for each run.

    Config: see `UpdateRecordConfig`. Each field takes the place of its old value; `custom.plan` changes one key of
        `custom` and leaves the others.

    Output: `{"id", "type", "fields": {…}, "created": false}`: the record afterwards.

    Raises:
        PermanentStepError: `record.not_found`, `record.invalid`, `record.duplicate`.
    """

    name = "update_record"
    summary = "Change a record whose id is known"
    Config = UpdateRecordConfig

    def output_schema(self, config: JsonObject) -> Schema:
        return written_schema(config)

    def unpublishable(self, config: JsonObject) -> list[Problem]:
        return templated_name(config) or [*flaws_in(ENTITIES[config["entity"]], "fields", config["fields"])]

    def execute(self, config: UpdateRecordConfig, context: StepContext) -> Completed:
        return written(update(config, author_of(context)), is_new=False)


def update(config: UpdateRecordConfig, author: Author) -> JsonObject:
    """Do it, inside the caller's transaction; the record afterwards. Raises as the step does."""
    entity = ENTITIES[config.entity]
    record = _locked(entity, config.id)
    with refusals_told(entity.model, places_in(fields=config.fields)):
        changes = accepted(entity, config.fields, is_new=False, custom=record.custom)
        services.change(record, changes, **author)
    return record_of(entity, record.pk)


def _locked(entity: Entity, text: str) -> Record:
    """The record of this id, which nobody else changes until the transaction ends. Raises PermanentStepError."""
    try:
        found: Record = entity.model._default_manager.select_for_update(no_key=True).get(
            pk=UUID(text.strip())
        )
    except (ValueError, entity.model.DoesNotExist):
        detail = f"There is no {entity.name} with the id {text[:100]!r}."
        raise permanent("record.not_found", [Problem("/id", "record.not_found", detail)]) from None
    return found
