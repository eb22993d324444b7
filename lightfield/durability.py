"""A system check: PostgreSQL must keep what it acknowledged. `migrate` runs it, and so does every start of bin/up.

A webhook is answered 2xx once its event is committed. With `fsync`, `full_page_writes` or `synchronous_commit`
off a loss of power takes back what was committed (PostgreSQL's manual, "Write Ahead Log" settings).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

NEEDED = ("fsync", "full_page_writes", "synchronous_commit")
ASK = "SELECT " + ", ".join(f"current_setting('{name}')" for name in NEEDED)
OR_FOR_ROLE = ", or for this role with ALTER ROLE … SET"  # the others are the whole server's


@register(Tags.database)
def check_durability(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """An error in production, a warning elsewhere, for each setting that is off."""
    found: list[CheckMessage] = []
    kind = Error if settings.IS_PRODUCTION else Warning
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            cursor.execute(ASK)
            values = cursor.fetchone()
        found += [
            kind(
                f"PostgreSQL runs with {name} = off: acknowledged events may be lost when the power fails.",
                hint=f"Set {name} = on in postgresql.conf{OR_FOR_ROLE if name == 'synchronous_commit' else ''}.",
                id=f"lightfield.{kind.__name__[0]}001",
            )
            for name, value in zip(NEEDED, values, strict=True)
            if value == "off"
        ]
    return found
