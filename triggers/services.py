"""What people and senders do with triggers: start a workflow by hand, deliver a webhook, change its address."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction

from lightfield.access import audit
from lightfield.kernel import db_deadline, sql, strict_json
from lightfield.kernel import idempotency_key as keys
from lightfield.kernel import traceparent as trace_context
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import RequestRefused
from lightfield.kernel.ids import uuid7
from triggers import outbox, tokens
from triggers.decisions import Verdict, note
from triggers.deliveries.arrivals import Arrival
from triggers.models import Trigger
from triggers.outbox import Captured
from workflows.models import Workflow, WorkflowStatus

logger = logging.getLogger(__name__)

# Senders of webhooks give up after 3 to 15 s and come again; better they hear it at once.
_database = db_deadline.Breaker(patience_seconds=2.0)


def webhook_path(trigger: Trigger) -> str:
    """`/hooks/<token>`. Raises `keyring.UnreadableSecret` when its encryption key is gone."""
    return f"/hooks/{tokens.shown(trigger.token_ciphertext, workflow_id=trigger.workflow_id)}"


@sql.retrying_conflicts
@transaction.atomic
def rotate_token(*, workflow_id: UUID, by: str) -> Trigger:
    """Give the workflow a new webhook address; the old one answers 404 from now on.

    Raises:
        RequestRefused: `request.not_found`, or `workflow.illegal_transition` once it is archived.
    """
    workflow = Workflow.objects.select_for_update(no_key=True).filter(pk=workflow_id).first()
    if workflow is None:
        raise _no_such_workflow(workflow_id)
    if workflow.status == WorkflowStatus.ARCHIVED:
        raise RequestRefused(
            "workflow.illegal_transition", "An archived workflow has no address.", status=workflow.status
        )
    trigger = Trigger.objects.get(workflow=workflow)
    sealed = tokens.new_token(workflow.pk)
    trigger.token_hash, trigger.token_ciphertext = sealed.token_hash, sealed.token_ciphertext
    trigger.save(update_fields=["token_hash", "token_ciphertext"])
    audit.record(actor=by, action="trigger.token_rotated", subject=workflow.pk)
    return trigger


@sql.retrying_conflicts
@transaction.atomic
def run_by_hand(
    *, workflow_id: UUID, payload: Any, idempotency_key: str | None, traceparent: str | None, by: str
) -> Captured:
    """Start a workflow with `payload`: any that has a published version and is not archived, also a paused one.

    A repeated key with the same payload answers with the first event.

    Args:
        traceparent: the caller's header; its trace is continued when it is valid.

    Raises:
        RequestRefused: `payload.*`, `idempotency.key_invalid`, `idempotency.key_reused` (another payload),
            `request.not_found`, `workflow.not_published`.
    """
    strict_json.check(payload)
    trigger = Trigger.objects.select_related("workflow").filter(workflow_id=workflow_id).first()
    if trigger is None:
        raise _no_such_workflow(workflow_id)
    workflow = trigger.workflow
    if workflow.active_version_id is None or workflow.status == WorkflowStatus.ARCHIVED:
        is_archived = workflow.status == WorkflowStatus.ARCHIVED
        note(
            trigger_id=trigger.pk,
            verdict=Verdict.ARCHIVED if is_archived else Verdict.NOT_PUBLISHED,
            detail={"source": "manual"},
        )
        raise RequestRefused("workflow.not_published", status=workflow.status)
    captured = outbox.append_event(
        trigger=trigger,
        source="manual",
        payload=payload,
        idempotency_key=keys.read(idempotency_key),
        trace_id=_trace_id(traceparent),
    )
    if not captured.has_same_body:
        raise RequestRefused("idempotency.key_reused", "The key was used with another payload.")
    if not captured.is_duplicate:
        audit.record(
            actor=by, action="workflow.run_by_hand", subject=workflow.pk, event_id=str(captured.event_id)
        )
    return captured


def receive_webhook(
    *,
    token: str,
    raw: bytes,
    idempotency_key: str | None,
    traceparent: str | None,
    arrival: Arrival | None = None,
) -> Captured | None:
    """Store a webhook's body as an event of the active workflow with this address; None when there is none.

    Committed when this returns. A connection that turns out to be dead is replaced once: the event's id is
    chosen here, so doing it again cannot store it twice even if only the answer to the COMMIT was lost.

    Args:
        arrival: the request that brought it, for the inbox.

    Raises:
        RequestRefused: `payload.*`, `idempotency.key_invalid`.
        django.db.OperationalError, InterfaceError: the database does not answer; told within 2 s.
    """
    digest = strict_json.digest(raw)
    if arrival:
        arrival.with_body(raw, digest=digest)
    key = keys.read(idempotency_key)
    strict_json.parse(raw)
    delivery: dict[str, Any] = {
        "token_hash": tokens.hash_of(token),
        "event_id": uuid7(),
        "body": raw.decode(),
        "body_digest": digest,
        "idempotency_key": key,
        "trace_id": _trace_id(traceparent),
        "arrival": arrival,
    }
    crashpoint("CP-W1")
    with _database.asked():
        try:
            return outbox.capture_webhook(**delivery)
        except (OperationalError, InterfaceError) as error:
            if not db_deadline.is_connection_lost(error):
                raise
            logger.info("webhook_capture_repeated", extra={"error": type(error).__name__})
            connection.close()
            return outbox.capture_webhook(**delivery)


def _trace_id(header: str | None) -> str:
    caller = trace_context.parse(header)
    return caller.trace_id if caller else trace_context.new_trace_id()


def _no_such_workflow(workflow_id: UUID) -> RequestRefused:
    return RequestRefused("request.not_found", f"There is no workflow {workflow_id}.")
