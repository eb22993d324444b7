"""Secrets: what is kept encrypted can be opened."""

from __future__ import annotations

from collections.abc import Iterator

from executions.verifying.invariant import Invariant, Subject
from lightfield.access import sealed_columns


def unreadable() -> Iterator[str]:
    """Opening needs the key ring, so it is done here and not in SQL."""
    for row in sealed_columns.unreadable():
        yield f"{row.of.title} {row.pk} (key {row.key_id})"


INVARIANTS = (
    Invariant(
        name="sealed-opens",
        subject=Subject.CREDENTIALS,
        says="Every secret, webhook address, webhook secret and notice secret opens with a key of the ring, as what it was sealed for.",
        broken=unreadable,
        remedy="Put the key back into LIGHTFIELD_ENCRYPTION_KEYS, or give the secret anew: docs/secrets.md.",
    ),
)
