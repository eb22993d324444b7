"""A start with LIGHTFIELD_AI_* that no agent could use ends at once: Django runs this before web, workers and commands."""

from __future__ import annotations

from typing import Any

from django.core import checks

from executions.agents.provided import check_settings
from lightfield.kernel.env import InvalidSetting


@checks.register(checks.Tags.security)
def agent_settings(**_: Any) -> list[checks.CheckMessage]:
    try:
        check_settings()
    except InvalidSetting as error:
        return [checks.Error(error.message, hint=error.entry.remedy, id="executions.E002")]
    return []
