"""A start with settings that egress cannot use ends at once: Django runs this before web, workers and commands."""

from __future__ import annotations

from typing import Any

from django.core import checks

from executions.egress.current import policy_from_settings
from lightfield.kernel.env import InvalidSetting


@checks.register(checks.Tags.security)
def egress_settings(**_: Any) -> list[checks.CheckMessage]:
    try:
        policy_from_settings()
    except InvalidSetting as error:
        return [checks.Error(error.message, hint=error.entry.remedy, id="executions.E001")]
    return []
