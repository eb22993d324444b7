"""`bin/manage check --deploy` says when a stored secret can no longer be opened, before a step or a webhook finds out."""

from __future__ import annotations

from itertools import islice
from typing import Any

from django.core import checks
from django.db import DatabaseError, InterfaceError

from lightfield.access import keyring, sealed_columns
from lightfield.kernel.env import InvalidSetting

MOST_NAMED = 20


@checks.register(checks.Tags.security, deploy=True)
def stored_secrets_open(**_: Any) -> list[checks.CheckMessage]:
    """Opens each: what is encrypted and lasts is little. Without a database, or before `migrate`, there is nothing to say."""
    try:
        broken = list(islice(sealed_columns.unreadable(), MOST_NAMED))
    except (DatabaseError, InterfaceError) as error:
        text = f"Stored secrets could not be looked at: {type(error).__name__}."
        return [checks.Warning(text, hint="Run it where the database can be reached.", id="access.W001")]
    except InvalidSetting as error:
        return [checks.Error(error.message, hint=error.entry.remedy, id="access.E001")]
    if not broken:
        return []
    keys = sorted({row.key_id for row in broken} - set(keyring.key_ids()))
    gone = (
        f" Not on the ring: {', '.join(keys)}." if keys else " They were changed, or moved from other rows."
    )
    named = "; ".join(f"{row.of.title} {row.pk}" for row in broken[:5])
    text = f"{len(broken)} stored secrets cannot be opened, among them {named}.{gone}"
    hint = "Put the key back into LIGHTFIELD_ENCRYPTION_KEYS, or give the secrets anew: docs/secrets.md."
    return [checks.Error(text, hint=hint, id="access.E002")]
