"""`write_records`: an agent creates, updates or upserts the records of some entities, by the functions of the record steps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import ClassVar, get_args

from django.db import transaction

from crm.steps.create_record import CreateRecord, create
from crm.steps.entities import ENTITIES, Entity
from crm.steps.update_record import UpdateRecord, update
from crm.steps.upsert_record import UpsertRecord, upsert
from crm.steps.writing import Author, author_of
from crm.tools import describing, unread
from crm.tools.read_records import told_record
from crm.tools.references import check_references
from crm.tools.scope import Operation, Scope, WriteRecordsGrant
from executions.agents.tools import AnyGrant, Tool, ToolContext, ToolKind, register
from executions.agents.tools.arguments import flaws_in, readable
from executions.agents.values import JsonObject
from lightfield.kernel.errors import Problem
from workflows.step_types import load_config


class WritingTool(Tool):
    """What the three have in common. A subclass judges its arguments and writes.

    The model is told of the whole record if the step may read such records, else only which it was: `{"id", "type", "created"}`.
    """

    effect = "writes"
    operation: ClassVar[Operation]

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def judge(self, arguments: JsonObject) -> None:
        self.scope.entity(self.operation, arguments)

    def call(self, asked: JsonObject, context: ToolContext) -> JsonObject:
        arguments = readable(asked)
        entity = self.scope.entity(self.operation, arguments)
        is_read = self.scope.may_read(entity)
        author = author_of(context, tool=self.spec.name, call=context.key)
        # What the database refuses is undone here, so that the caller's transaction can go on and note it.
        with transaction.atomic():
            record, is_new = self.write(entity, arguments, author, is_read=is_read)
        if not is_read:
            return unread.receipt(record, is_new=is_new)
        return {**told_record(record, self.scope.most_bytes), "created": is_new}

    def write(
        self, entity: Entity, arguments: JsonObject, author: Author, *, is_read: bool
    ) -> tuple[JsonObject, bool]:
        """The record afterwards, and whether it is new."""
        raise NotImplementedError


class CreateRecordTool(WritingTool):
    operation = "create"

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.spec = describing.creating(scope)

    def write(
        self, entity: Entity, arguments: JsonObject, author: Author, *, is_read: bool
    ) -> tuple[JsonObject, bool]:
        config = load_config(CreateRecord(), arguments)
        check_references(entity, self.scope, fields=config.fields)
        if not is_read:
            unread.check_fields(entity, is_new=True, fields=config.fields)
        with nullcontext() if is_read else unread.nothing_quoted():
            return create(config, author), True


class UpdateRecordTool(WritingTool):
    operation = "update"

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.spec = describing.updating(scope)

    def write(
        self, entity: Entity, arguments: JsonObject, author: Author, *, is_read: bool
    ) -> tuple[JsonObject, bool]:
        config = load_config(UpdateRecord(), arguments)
        check_references(entity, self.scope, fields=config.fields)
        if not is_read:
            unread.check_fields(entity, is_new=False, fields=config.fields)
        with nullcontext() if is_read else unread.nothing_quoted():
            return update(config, author), False


class UpsertRecordTool(WritingTool):
    operation = "upsert"

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.spec = describing.upserting(scope)

    def write(
        self, entity: Entity, arguments: JsonObject, author: Author, *, is_read: bool
    ) -> tuple[JsonObject, bool]:
        config = load_config(UpsertRecord(), arguments)
        check_references(entity, self.scope, match=config.match, fields=config.fields)
        if not is_read:
            unread.check_match(entity, config.match)
            unread.check_fields(entity, is_new=False, match=config.match, fields=config.fields)
        with nullcontext() if is_read else unread.nothing_quoted():
            return upsert(config, author)


WRITING = (CreateRecordTool, UpdateRecordTool, UpsertRecordTool)


@register
class WriteRecords(ToolKind[WriteRecordsGrant]):
    """`{"type": "write_records", "entities": ["contact"], "operations": ["create", "update", "upsert"]}`: a tool each."""

    name = "write_records"
    summary = "Create, update or upsert records of some entities"
    Grant = WriteRecordsGrant

    def unpublishable(self, grant: JsonObject) -> list[Problem]:
        return flaws_in(WriteRecordsGrant, grant)

    def warnings(self, grant: JsonObject) -> list[Problem]:
        if set(grant["entities"]) < ENTITIES.keys() or set(grant["operations"]) < set(get_args(Operation)):
            return []
        return [Problem("", "ai.wide_permissions", "This permits every operation on every kind of record.")]

    def tools(self, grants: Sequence[WriteRecordsGrant], all_grants: Sequence[AnyGrant]) -> list[Tool]:
        """What may be read as well is told of what was written, whoever permits it."""
        scope = Scope.of((*all_grants, *grants))
        return [tool(scope) for tool in WRITING if scope.names(tool.operation)]
