"""What signs notices is sealed anew with everything else: `bin/manage rotate_keys`."""

from __future__ import annotations

from executions.notices import signing
from executions.notices.models import NoticeSecret
from lightfield.access.sealed_columns import SealedColumn, declare

declare(SealedColumn("notice secrets", NoticeSecret, "ciphertext", lambda row: signing.binding(row["pk"])))
