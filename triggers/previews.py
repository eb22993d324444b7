"""What a schedule will do next, for people who look at a workflow or edit its config. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from lightfield.kernel import sql
from lightfield.kernel.errors import RequestRefused
from triggers.kinds.schedule import Schedule
from triggers.models import Trigger
from triggers.schedules import config as configs
from triggers.schedules.preview import as_json, preview

PUBLISHED, DRAFT = "published", "draft"


@dataclass(frozen=True)
class SchedulePreview:
    """The next ten instants of a config, from now by the database's clock."""

    config: dict[str, Any]
    instants: list[dict[str, str | None]]


def of_config(config: Any) -> SchedulePreview:
    """Of a config as somebody writes it, which may be anything.

    Raises:
        RequestRefused: `config.invalid` with each problem; pointers lead into the config.
    """
    schedule, _ = configs.read(config)
    return SchedulePreview(config, [as_json(entry) for entry in preview(schedule, database_now())])


def of_workflow(workflow_id: UUID, *, source: str | None = None) -> SchedulePreview:
    """Of the published config or the draft's; the published one when there is a choice and nobody made it.

    Raises:
        RequestRefused: `request.not_found` without such a workflow, or where the clock does not start it;
            `config.invalid` when the draft cannot be read.
    """
    trigger = Trigger.objects.select_related("workflow").filter(workflow_id=workflow_id).first()
    if trigger is None:
        raise RequestRefused("request.not_found", f"There is no workflow {workflow_id}.")
    found = {}
    if trigger.kind == Schedule.name:
        found[PUBLISHED] = trigger.config
    drafted = trigger.workflow.draft.get("trigger") or {}
    if drafted.get("type") == Schedule.name:
        found[DRAFT] = drafted.get("config") or {}
    chosen = source or (PUBLISHED if PUBLISHED in found else DRAFT)
    if not found:
        raise RequestRefused("request.not_found", "No schedule starts this workflow.")
    if chosen not in found:
        words = "The published version" if chosen == PUBLISHED else "The draft"
        raise RequestRefused("request.not_found", f"{words} has no schedule.")
    return of_config(found[chosen])


def database_now() -> datetime:
    found = sql.row("SELECT clock_timestamp()", {})
    assert found is not None
    now: datetime = found[0]
    return now
