"""Started by the clock: a cron line, or every day, week or month at a time of day, in an IANA time zone."""

from __future__ import annotations

from pydantic import ValidationError

from lightfield.kernel.errors import Problem
from triggers.kinds.base import JsonObject, TriggerKind, register
from triggers.schedules.config import ScheduleConfig, problems_of


@register
class Schedule(TriggerKind):
    """Fires at the instants of `triggers.schedules`, by `triggers.ticking`; rules and examples are in `docs/schedules.md`.

    Config: see `ScheduleConfig`.

    Output: `{"scheduled_for", "fired_at", "timezone", "late_by_seconds"}`.
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
