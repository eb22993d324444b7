"""The audit trail: who did what to what. Written in the transaction of the deed, never changed."""

from __future__ import annotations

from typing import Any

from django.db import connection

from lightfield.access.models import AuditEntry


def record(*, actor: str, action: str, subject: object, **metadata: Any) -> None:
    """Write one entry. Call it inside the transaction of what it tells: both are kept, or neither.

    Args:
        actor: the name of the person or key; "" stands for the system itself.
        action: a fact in the past tense, `workflow.published`.
        subject: the id it was done to.
        metadata: small, JSON-safe and never secret.

    Raises:
        RuntimeError: there is no transaction, so the entry could outlive a deed that was rolled back.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("audit.record() must share a transaction with the deed it tells")
    AuditEntry.objects.create(actor=actor or "system", action=action, subject=str(subject), metadata=metadata)
