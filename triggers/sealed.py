"""What triggers keep encrypted, so that it is sealed anew with everything else: `bin/manage rotate_keys`."""

from __future__ import annotations

from lightfield.access.sealed_columns import SealedColumn, declare
from triggers import tokens, webhook_secrets
from triggers.models import Trigger, WebhookSecret

declare(
    SealedColumn(
        "webhook addresses",
        Trigger,
        "token_ciphertext",
        lambda row: tokens.binding(row["workflow_id"]),
        needs=("workflow_id",),
    )
)
declare(
    SealedColumn(
        "webhook secrets", WebhookSecret, "ciphertext", lambda row: webhook_secrets.binding(str(row["pk"]))
    )
)
