"""Started by the clock: a cron line, or every day, week or month at a time of day, in an IANA time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from lightfield.kernel.errors import Problem
from triggers.kinds.base import JsonObject, TriggerKind, register
from triggers.schedules.config import ScheduleConfig, problems_of
from triggers.schedules.instants import spelled
from workflows.shapes import TEXT, Schema, of_fields


@register
class Schedule(TriggerKind):
    """Fires at the instants of `triggers.schedules`, by `triggers.ticking`; rules and examples are in `docs/schedules.md`.

    Config: see `ScheduleConfig`.

    Output: see `output`.
    """

    name = "schedule"
    summary = "At times of day or by a cron line, in a time zone"
    Config = ScheduleConfig

    def unpublishable(self, config: JsonObject) -> list[Problem]:
        try:
            written = ScheduleConfig.model_validate(config)
        except ValidationError:
            return []  # its shape is wrong, which is told elsewhere
        return problems_of(written)

    def sample(self, config: JsonObject) -> Any:
        """What a tick of this minute would carry, so that the steps find what they refer to."""
        now = datetime.now(UTC)
        return output(
            now.replace(second=0, microsecond=0), fired_at=now, timezone=config.get("timezone", "UTC")
        )

    def output_schema(self, config: JsonObject) -> Schema | None:  # noqa: ARG002  the same for all schedules
        texts = dict.fromkeys(("scheduled_for", "fired_at", "timezone"), TEXT)
        return of_fields({**texts, "late_by_seconds": {"type": "number"}})


def output(due_at: datetime, *, fired_at: datetime, timezone: str) -> JsonObject:
    """What the steps read as `trigger`."""
    return {
        "scheduled_for": spelled(due_at),
        "fired_at": spelled(fired_at),
        "timezone": timezone,
        "late_by_seconds": late_by(due_at, fired_at),
    }


def late_by(due_at: datetime, fired_at: datetime) -> float:
    """Seconds, to the millisecond."""
    return round((fired_at - due_at).total_seconds(), 3)
