"""The secret that a workflow's notices are signed with. The only writer of `NoticeSecret`."""

from __future__ import annotations

import base64
import hashlib
import hmac
from uuid import UUID

from django.db.models.functions import Now

from executions.notices.models import NoticeSecret
from lightfield.access import audit, keyring
from lightfield.kernel.errors import TransientStepError
from triggers.signatures.standard import VERSION, Standard
from workflows.models import Workflow


def flaw_of(secret: str) -> str:
    """What is wrong with it, or nothing; the empty text ends a secret."""
    return Standard().flaw_of(secret) if secret else ""


def keep(workflow: Workflow, secret: str, *, by: str) -> None:
    """Take the place of the one before, at once; the empty text ends it. In the transaction of the draft."""
    if not secret:
        if NoticeSecret.objects.filter(workflow=workflow).delete()[0]:
            audit.record(actor=by, action="notice_secret.ended", subject=workflow.pk)
        return
    kept = {
        "ciphertext": keyring.encrypt(secret, bound_to=binding(workflow.pk)),
        "last4": secret[-4:],
        "set_at": Now(),
    }
    NoticeSecret.objects.update_or_create(workflow=workflow, defaults=kept)
    audit.record(actor=by, action="notice_secret.set", subject=workflow.pk, last4=secret[-4:])


def signature(workflow_id: str, message_id: str, at: int, raw: bytes) -> dict[str, str]:
    """The header that signs a request, or none when the workflow has no secret.

    Raises:
        TransientStepError: `secret.unreadable`. An unsigned message in place of a signed one would be refused.
    """
    row = NoticeSecret.objects.filter(workflow_id=workflow_id).first()
    if row is None:
        return {}
    try:
        secret = keyring.decrypt(row.ciphertext, bound_to=binding(row.workflow_id))
    except keyring.UnreadableSecret as error:
        raise TransientStepError(error.code, error.message) from error
    key = Standard().key_of(secret)
    mac = hmac.new(key, f"{message_id}.{at}.".encode() + raw, hashlib.sha256).digest()
    return {"webhook-signature": VERSION + base64.b64encode(mac).decode()}


def binding(workflow_id: UUID) -> str:
    return f"notice-secret:{workflow_id}"
