"""System checks: whether records can be captured as the settings say. `manage.py check` and `migrate` run them.

What LIGHTFIELD_WATCH says wrongly no process starts with: see `registration`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DEFAULT_DB_ALIAS, router

from triggers.records import database, modes, watching

MIGRATE = (
    "Run bin/manage migrate (or your project's manage.py migrate) with the settings that your processes have."
)


@register
def check_settings(**_: Any) -> list[CheckMessage]:
    if settings.LIGHTFIELD_CAPTURE in modes.MODES:
        return []
    return [
        Error(
            f"LIGHTFIELD_CAPTURE is {settings.LIGHTFIELD_CAPTURE!r}: nobody knows who captures changes of records.",
            hint=f"Set it to one of {', '.join(modes.MODES)}.",
            id="triggers.E001",
        )
    ]


@register
def check_routes(**_: Any) -> list[CheckMessage]:
    """Events are stored in the transaction of their cause, and so in the same database."""
    return [
        Warning(
            f"{watch.model._meta.label} is watched, and a router sends its writes to {alias!r}: they are not captured.",
            hint=f"Only what is written to {DEFAULT_DB_ALIAS!r} can be watched. Keep the model there, or watch it no longer.",
            obj=watch.model,
            id="triggers.W001",
        )
        for watch in watching.all_watches()
        if (alias := router.db_for_write(watch.model)) != DEFAULT_DB_ALIAS
    ]


@register(Tags.database, deploy=True)
def check_tables(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Whether `migrate` has put on the watched tables what LIGHTFIELD_CAPTURE asks for."""
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    return [
        Warning(
            f"The table {table} is not arranged for LIGHTFIELD_CAPTURE={settings.LIGHTFIELD_CAPTURE}.",
            hint=MIGRATE,
            id="triggers.W002",
        )
        for table in database.unarranged()
    ]
