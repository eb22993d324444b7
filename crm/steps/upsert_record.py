"""`upsert_record`: change the record that matches, or create it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from crm import services
from crm.models import Record
from crm.steps.entities import ENTITIES, Entity, EntityName, Values, templated_name
from crm.steps.fields import accepted, flaws_in, written_out
from crm.steps.matching import Match, match_flaws
from crm.steps.reading import record_of
from crm.steps.refusals import Places, places_in, refusals_told
from crm.steps.writing import Author, author_of, written, written_schema
from lightfield.kernel.errors import PermanentStepError, Problem, WriteConflict
from workflows.shapes import Schema
from workflows.step_types import (
    Completed,
    JsonObject,
    StepConfig,
    StepContext,
    TransactionalStepType,
    register,
)


class UpsertRecordConfig(StepConfig):
    entity: EntityName
    match: Values = Field(
        min_length=1,
        description="Which record is meant, such as its email; case does not count in e-mail addresses.",
    )
    fields: Values = Field(default_factory=dict, description="What it shall have, besides.")


@register
class UpsertRecord(TransactionalStepType[UpsertRecordConfig]):
    """Change the record that has the values of `match`, or create one with them. Exactly once for each run.

    Config: see `UpsertRecordConfig`. E-mail addresses, websites and names of accounts match whatever their case; an
        account with both is looked for by website, and then by name among those without one.

    Output: `{"id", "type", "fields": {…}, "created": true or false}`: the record afterwards.

    Raises:
        PermanentStepError: `record.ambiguous` when several match, `record.invalid`, `record.duplicate`.
        WriteConflict: somebody created it at the same moment; the next try finds it.
    """

    name = "upsert_record"
    summary = "Change the record that matches, or create it"
    Config = UpsertRecordConfig

    def output_schema(self, config: JsonObject) -> Schema:
        return written_schema(config)

    def unpublishable(self, config: JsonObject) -> list[Problem]:
        if flaws := templated_name(config):
            return flaws
        entity = ENTITIES[config["entity"]]
        return [
            *(
                match_flaws(entity, written_out(config["match"]))
                or flaws_in(entity, "match", config["match"])
            ),
            *flaws_in(entity, "fields", config.get("fields", {})),
        ]

    def execute(self, config: UpsertRecordConfig, context: StepContext) -> Completed:
        record, is_new = upsert(config, author_of(context))
        return written(record, is_new=is_new)


def upsert(config: UpsertRecordConfig, author: Author) -> tuple[JsonObject, bool]:
    """Do it, inside the caller's transaction; the record afterwards, and whether it is new. Raises as the step does."""
    entity, place = ENTITIES[config.entity], places_in(fields=config.fields, match=config.match)
    with refusals_told(entity.model, places_in(match=config.match)):
        match = Match(entity, config.match)
    record = match.locked()
    if record is None and not match.is_unique:
        match.lock_out()
        record = match.locked()
    if record is None:
        record = _created(entity, config, author, place)
        return record_of(entity, record.pk), True
    _change(entity, match, record, config, author, place)
    return record_of(entity, record.pk), False


def _change(
    entity: Entity,
    match: Match,
    record: Record,
    config: UpsertRecordConfig,
    author: Author,
    place: Places,
) -> None:
    fields = config.fields
    if match.is_by_name:
        fields = {"website": match.values["website"], **fields}  # which it did not have
    with refusals_told(entity.model, place):
        changes = accepted(entity, fields, is_new=False, custom=record.custom)
        services.change(record, changes, **author)


def _created(entity: Entity, config: UpsertRecordConfig, author: Author, place: Places) -> Record:
    try:
        with refusals_told(entity.model, place):
            record = entity.model(**accepted(entity, _of_new(config), is_new=True))
            services.insert(record, **author)
    except PermanentStepError as error:
        if error.code == "record.duplicate" and _is_matched(error.metadata, config):
            raise WriteConflict(error) from error
        raise
    return record


def _of_new(config: UpsertRecordConfig) -> dict[str, Any]:
    """A new record has what was looked for, unless `fields` say otherwise."""
    return {**config.match, **config.fields}


def _is_matched(metadata: dict[str, Any], config: UpsertRecordConfig) -> bool:
    """Whether another record has what was looked for and not found a moment ago: then it has only just come to be."""
    return str(metadata["pointer"]).rpartition("/")[2] in config.match
