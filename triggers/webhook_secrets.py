"""The secrets that senders sign with: made, replaced without losing a request, ended. The only writer of `WebhookSecret`.

A secret is shown once, in the answer to its making, and kept encrypted. At most two for one preset are live: the present
one and the one before, until its end. A new one while two are live is refused rather than ending one that a sender
may be using. Secrets for another preset than the published one wait there, so that a draft breaks nothing.
"""

from __future__ import annotations

import functools
import logging
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from lightfield.access import audit, keyring
from lightfield.kernel import sql
from lightfield.kernel.errors import Problem, RequestRefused
from lightfield.kernel.ids import uuid7
from triggers.models import Trigger, WebhookSecret
from triggers.signatures import MOST_LIVE, Preset, preset_of
from workflows.models import Workflow, WorkflowStatus

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 24 * 3600  # in which the one before stays valid, unless somebody says otherwise
LONGEST_GRACE_SECONDS: Final = 30 * 24 * 3600

NOBODY: Final = "nobody"  # whose secret is decrypted where there is none

END: Final = """
UPDATE triggers_webhooksecret SET expires_at = least(expires_at, clock_timestamp() + make_interval(secs => %(seconds)s))
WHERE trigger_id = %(trigger_id)s::bigint AND signing = %(signing)s::varchar
  AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""


@dataclass(frozen=True)
class Made:
    """A new secret, and its text: for one answer, and nowhere else."""

    row: WebhookSecret
    secret: str


def live(trigger_id: int, signing: str | None = None) -> QuerySet[WebhookSecret]:
    """Those that verify now, the newest first; for one preset, or for all."""
    rows = WebhookSecret.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), trigger_id=trigger_id)
    return (rows if signing is None else rows.filter(signing=signing)).order_by("-id")


@sql.retrying_conflicts
@transaction.atomic
def add(
    *, workflow_id: UUID, secret: str | None = None, ends_previous_in: int = GRACE_SECONDS, by: str
) -> Made:
    """Add a secret, or make one; the one before ends in `ends_previous_in` seconds, and until then both verify.

    It belongs to the scheme of the published webhook, or of the draft while none is signed.

    Raises:
        RequestRefused: `request.not_found`, `workflow.illegal_transition` once archived, `secret.no_scheme`,
            `config.invalid_secret`, `rotation.in_progress` when two are live and none is to end at once.
    """
    trigger = _locked(workflow_id)
    preset = signing_of(trigger)
    if preset is None:
        raise RequestRefused("secret.no_scheme")
    text = preset.signing.new_secret() if secret is None else secret
    flaw = preset.signing.flaw_of(text)
    if flaw:
        raise RequestRefused("config.invalid_secret", flaw)
    return Made(_replace(trigger, preset.name, text, ends_previous_in, by=by), text)


@sql.retrying_conflicts
@transaction.atomic
def end(*, workflow_id: UUID, secret_id: UUID, by: str) -> None:
    """From now on it verifies nothing. Doing it again changes nothing.

    Raises:
        RequestRefused: `request.not_found`, for the workflow or the secret.
    """
    trigger = _locked(workflow_id, also_archived=True)
    row = WebhookSecret.objects.filter(trigger=trigger, pk=secret_id).first()
    if row is None:
        raise RequestRefused("request.not_found", f"The workflow has no secret {secret_id}.")
    if live(trigger.pk).filter(pk=row.pk).update(expires_at=Now()):
        audit.record(
            actor=by,
            action="webhook_secret.ended",
            subject=workflow_id,
            secret_id=str(row.pk),
            last4=row.last4,
        )


def set_by_draft(trigger: Trigger, signature: object, secret: str, *, by: str) -> None:
    """A secret that came with a draft. One that is live already, sent again, changes nothing. `trigger` is locked.

    Raises:
        RequestRefused: `config.invalid_definition` when two others are live.
    """
    preset = preset_of(signature)
    if preset is None or secret in opened(live(trigger.pk, preset.name)):
        return
    try:
        _replace(trigger, preset.name, secret, GRACE_SECONDS, by=by)
    except RequestRefused as error:
        problem = Problem("/trigger/config/signature/secret", error.code, error.message)
        raise RequestRefused("config.invalid_definition", problems=[problem]) from None


def missing(workflow: Workflow, signature: object) -> list[Problem]:
    """What keeps a webhook of this signature from being published: nobody could verify it."""
    preset = preset_of(signature)
    if preset is None or live(workflow.trigger.pk, preset.name).exists():
        return []
    detail = (
        f"The scheme {preset.scheme} needs a secret: send it here, or make one by POST …/webhook-secrets."
    )
    return [Problem("/signature/secret", "config.missing_secret", detail)]


def signing_of(trigger: Trigger) -> Preset | None:
    """How the published webhook is signed; while it is not, how its draft means to be."""
    draft = (trigger.workflow.draft.get("trigger") or {}).get("config", {})
    for config in (trigger.config, draft):
        preset = preset_of(config.get("signature"))
        if preset is not None:
            return preset
    return None


def opened(rows: Iterable[WebhookSecret]) -> list[str]:
    """Their texts. One whose encryption key is gone is left out, and the log says so."""
    return _opened((str(row.pk), row.ciphertext) for row in rows)


def for_verifying(sealed: Sequence[tuple[str, str]]) -> list[str]:
    """The texts of pairs of id and ciphertext, as the look at an endpoint finds them.

    As many are decrypted whether there are two, one or none, so that the time does not tell which.
    """
    texts = _opened(sealed)
    for _ in range(MOST_LIVE - len(sealed)):
        _opened([(NOBODY, _dummy(settings.LIGHTFIELD_ENCRYPTION_KEYS))])
    return texts


def _opened(sealed: Iterable[tuple[str, str]]) -> list[str]:
    texts = []
    for secret_id, ciphertext in sealed:
        try:
            texts.append(keyring.decrypt(ciphertext, bound_to=binding(secret_id)))
        except keyring.UnreadableSecret as error:
            logger.error("webhook_secret_unreadable", extra={"secret_id": secret_id, "error": error.message})
    return texts


@functools.lru_cache(maxsize=4)
def _dummy(_ring: str) -> str:
    """Something of a secret's length to decrypt under this key ring."""
    return keyring.encrypt(secrets.token_urlsafe(32), bound_to=binding(NOBODY))


def _replace(trigger: Trigger, signing: str, text: str, seconds: int, *, by: str) -> WebhookSecret:
    if seconds > 0 and live(trigger.pk, signing).count() >= MOST_LIVE:
        raise RequestRefused("rotation.in_progress", f"{MOST_LIVE} secrets are live already.")
    sql.rows(END, {"trigger_id": trigger.pk, "signing": signing, "seconds": float(seconds)})
    secret_id = uuid7()
    row = WebhookSecret.objects.create(
        id=secret_id,
        trigger=trigger,
        signing=signing,
        ciphertext=keyring.encrypt(text, bound_to=binding(str(secret_id))),
        last4=text[-4:],
    )
    audit.record(
        actor=by,
        action="webhook_secret.added",
        subject=trigger.workflow_id,
        secret_id=str(secret_id),
        signing=signing,
        last4=row.last4,
        previous_ends_in_seconds=seconds,
    )
    return row


def _locked(workflow_id: UUID, *, also_archived: bool = False) -> Trigger:
    """The trigger, under its workflow's lock and its own: as a publish takes them."""
    workflow = Workflow.objects.select_for_update(no_key=True).filter(pk=workflow_id).first()
    if workflow is None:
        raise RequestRefused("request.not_found", f"There is no workflow {workflow_id}.")
    if workflow.status == WorkflowStatus.ARCHIVED and not also_archived:
        raise RequestRefused(
            "workflow.illegal_transition", "An archived workflow takes no webhooks.", status=workflow.status
        )
    trigger = Trigger.objects.select_for_update(no_key=True).get(workflow=workflow)
    trigger.workflow = workflow
    return trigger


def binding(secret_id: str) -> str:
    """What a secret's ciphertext is bound to."""
    return f"webhook-secret:{secret_id}"
