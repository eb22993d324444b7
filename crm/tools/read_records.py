"""`read_records`: an agent finds and reads the records of some entities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from django.db import OperationalError

from crm.steps.find_records import FindRecords, find
from crm.steps.reading import stored
from crm.steps.refusals import permanent
from crm.tools import describing
from crm.tools.scope import READING, ReadRecordsGrant, Scope
from executions.agents.tools import AnyGrant, Tool, ToolContext, ToolKind, register
from executions.agents.tools.arguments import flaws_in, readable
from executions.agents.tools.cutting import cut, size
from executions.agents.values import JsonObject
from lightfield.kernel import sql
from lightfield.kernel.errors import PermanentStepError, Problem
from workflows import step_types

TOOK_TOO_LONG: Final = "57014"  # PostgreSQL's: the statement took longer than it may
FRAME_BYTES: Final = 400  # around the records: how many there are, and what was cut
LEAST_BYTES_EACH: Final = 2048  # of a record among others; when that is too much, the last ones are left off
CUT: Final = "Long texts were cut; get_record tells more of one record."
LEFT_OFF: Final = "{count} more records were left off: lower the limit, or filter more."


class FindRecordsTool(Tool):
    """`{"records": [{"id", "type", "fields"}, …], "count": how many these are}`, and `"cut"` when something is missing."""

    effect = "reads"

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.spec = describing.finding(scope)

    def judge(self, arguments: JsonObject) -> None:
        self.scope.entity(READING, arguments)

    def call(self, asked: JsonObject, context: ToolContext) -> JsonObject:  # noqa: ARG002  as all tools
        arguments = readable(asked)
        self.scope.entity(READING, arguments)
        config = step_types.load_config(FindRecords(), arguments)
        with _bounded_in_time():
            records = find(config)
        return _told(records, self.scope.most_bytes)


class GetRecordTool(Tool):
    """`{"id", "type", "fields"}`, and `"cut"` when something is missing."""

    effect = "reads"

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.spec = describing.getting(scope)

    def judge(self, arguments: JsonObject) -> None:
        self.scope.entity(READING, arguments)

    def call(self, asked: JsonObject, context: ToolContext) -> JsonObject:  # noqa: ARG002  as all tools
        arguments = readable(asked)
        entity = self.scope.entity(READING, arguments)
        try:
            record = stored(entity, UUID(str(arguments.get("id")).strip()))
        except ValueError:
            record = None
        if record is None:
            detail = f"There is no {entity.name} with this id."
            raise permanent("record.not_found", [Problem("/id", "record.not_found", detail)])
        return told_record(record, self.scope.most_bytes)


@register
class ReadRecords(ToolKind[ReadRecordsGrant]):
    """`{"type": "read_records", "entities": ["contact"], "max_bytes": 32768}`: `find_records` and `get_record`."""

    name = "read_records"
    summary = "Find and read records of some entities"
    Grant = ReadRecordsGrant
    reads_private = True

    def unpublishable(self, grant: JsonObject) -> list[Problem]:
        return flaws_in(ReadRecordsGrant, grant)

    def tools(self, grants: Sequence[ReadRecordsGrant], all_grants: Sequence[AnyGrant]) -> list[Tool]:  # noqa: ARG002  as all tools
        scope = Scope.of(grants)
        return [FindRecordsTool(scope), GetRecordTool(scope)] if scope.names(READING) else []


def told_record(record: JsonObject, most_bytes: int) -> JsonObject:
    """One record, within bounds."""
    fields, is_cut = cut(record["fields"], most_bytes - FRAME_BYTES)
    return {**record, "fields": fields, **({"cut": "Long texts were cut."} if is_cut else {})}


def _told(records: list[JsonObject], most_bytes: int) -> JsonObject:
    """As many as fit, each with the beginning of its long texts: a model looks over many before it reads one."""
    left = most_bytes - FRAME_BYTES
    each = max(LEAST_BYTES_EACH, left // max(1, len(records)))
    kept: list[JsonObject] = []
    notes: list[str] = []
    for record in records:
        fields, is_cut = cut(record["fields"], min(each, most_bytes - FRAME_BYTES))
        one = {**record, "fields": fields}
        left -= size(one) + 1
        if left < 0 and kept:
            notes.append(LEFT_OFF.format(count=len(records) - len(kept)))
            break
        kept.append(one)
        if is_cut and CUT not in notes:
            notes.append(CUT)
    answer: dict[str, Any] = {"records": kept, "count": len(kept)}
    return answer | ({"cut": " ".join(notes)} if notes else {})


@contextmanager
def _bounded_in_time() -> Iterator[None]:
    """A search that takes too long would do so at every attempt: the model is told, and can ask for less."""
    try:
        yield
    except OperationalError as error:
        if sql.sqlstate(error) != TOOK_TOO_LONG:
            raise
        message = "The database took too long: filter by fewer fields, or by an e-mail address or id."
        raise PermanentStepError("step.timeout", message) from error
