"""What people and senders do with triggers: start a workflow by hand, deliver a webhook, change its address."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction

from lightfield.access import audit
from lightfield.kernel import db_deadline, sql, strict_json
from lightfield.kernel import idempotency_key as keys
from lightfield.kernel import traceparent as trace_context
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import RequestRefused
from lightfield.kernel.ids import uuid7
from triggers import outbox, receiving, tokens
from triggers.decisions import Verdict, note
from triggers.deliveries import desk
from triggers.deliveries.arrivals import Arrival
from triggers.deliveries.models import DeliveryVerdict
from triggers.models import Trigger
from triggers.outbox import Captured
from triggers.receiving import Incoming, Received
from workflows.models import Workflow, WorkflowStatus

logger = logging.getLogger(__name__)

# Senders of webhooks give up after 3 to 15 s and come again; better they hear it at once.
_database = db_deadline.Breaker(patience_seconds=2.0)


# No row: the old address is to stay for a while, and the one before it still does.
NEW_ADDRESS: Final = """
UPDATE triggers_trigger SET token_hash = %(token_hash)s::varchar, token_ciphertext = %(token_ciphertext)s::text,
  previous_token_hash = CASE WHEN %(seconds)s::float8 > 0 THEN token_hash END,
  previous_token_until = CASE WHEN %(seconds)s::float8 > 0
    THEN clock_timestamp() + make_interval(secs => %(seconds)s::float8) END
WHERE id = %(id)s::bigint
  AND (%(seconds)s::float8 = 0 OR previous_token_until IS NULL OR previous_token_until <= clock_timestamp())
RETURNING id
"""


def webhook_path(trigger: Trigger) -> str:
    """`/hooks/<token>`. Raises `keyring.UnreadableSecret` when its encryption key is gone."""
    return f"/hooks/{tokens.shown(trigger.token_ciphertext, workflow_id=trigger.workflow_id)}"


@sql.retrying_conflicts
@transaction.atomic
def rotate_token(*, workflow_id: UUID, by: str, previous_valid_for_seconds: int = 0) -> Trigger:
    """Give the workflow a new webhook address.

    The old one answers 404 from now on, or after `previous_valid_for_seconds`, at most 30 days: time to tell senders.

    Raises:
        RequestRefused: `request.not_found`, `workflow.illegal_transition` once it is archived,
            `rotation.in_progress` when the old one is to stay and one before it is still valid.
    """
    workflow = Workflow.objects.select_for_update(no_key=True).filter(pk=workflow_id).first()
    if workflow is None:
        raise _no_such_workflow(workflow_id)
    if workflow.status == WorkflowStatus.ARCHIVED:
        raise RequestRefused(
            "workflow.illegal_transition", "An archived workflow has no address.", status=workflow.status
        )
    trigger = Trigger.objects.select_for_update(no_key=True).get(workflow=workflow)
    sealed = tokens.new_token(workflow.pk)
    rotated = sql.rows(
        NEW_ADDRESS,
        {
            "id": trigger.pk,
            "token_hash": sealed.token_hash,
            "token_ciphertext": sealed.token_ciphertext,
            "seconds": previous_valid_for_seconds,
        },
    )
    if not rotated:
        raise RequestRefused("rotation.in_progress", "The address before the present one is still valid.")
    audit.record(
        actor=by,
        action="trigger.token_rotated",
        subject=workflow.pk,
        previous_valid_for_seconds=previous_valid_for_seconds,
    )
    trigger.refresh_from_db()
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
    headers: Mapping[str, str],
    idempotency_key: str | None,
    traceparent: str | None,
    arrival: Arrival | None = None,
) -> Received:
    """Store a webhook's body as an event of the active workflow with this address, if it is signed as that asks.

    Committed when this returns. A connection that turns out to be dead is replaced once: the event's id is
    chosen here, so doing it again cannot store it twice even if only the answer to the COMMIT was lost.

    Args:
        headers: those that `signatures.headers_of` picks.
        arrival: the request that brought it, for the inbox.

    Raises:
        RequestRefused: `payload.*`, `idempotency.key_invalid`.
        django.db.OperationalError, InterfaceError: the database does not answer; told within 2 s.
    """
    incoming = Incoming(
        tokens.hash_of(token),
        raw,
        headers,
        idempotency_key,
        event_id=uuid7(),
        trace_id=_trace_id(traceparent),
        arrival=arrival,
    )
    if arrival:
        arrival.with_body(raw, digest=incoming.digest)
    received = _received(incoming)
    if received.captured is None and arrival:
        _note_refused(arrival, received)
    return received


def _note_refused(arrival: Arrival, received: Received) -> None:
    """Tell the inbox of a request that started nothing.

    Of an address that nobody has the same is noted, at the same cost, so that the time of an answer tells nothing. The desk
    finds out that it is nobody's, and only counts it.
    """
    verdict = received.verdict or Verdict.BAD_SIGNATURE
    detail = {"check": str(received.check)} if received.check else {}
    desk.note(arrival, DeliveryVerdict(str(verdict)), detail=detail)


def _received(incoming: Incoming) -> Received:
    """What can be refused without the database is, also while it is away."""
    incoming.idempotency_key  # noqa: B018  is refused where it is read
    if incoming.claims is None:
        incoming.body  # noqa: B018  is refused where it is read
    crashpoint("CP-W1")
    with _database.asked():
        try:
            return receiving.receive(incoming)
        except (OperationalError, InterfaceError) as error:
            if not db_deadline.is_connection_lost(error):
                raise
            logger.info("webhook_capture_repeated", extra={"error": type(error).__name__})
            connection.close()
            return receiving.receive(incoming)


def _trace_id(header: str | None) -> str:
    caller = trace_context.parse(header)
    return caller.trace_id if caller else trace_context.new_trace_id()


def _no_such_workflow(workflow_id: UUID) -> RequestRefused:
    return RequestRefused("request.not_found", f"There is no workflow {workflow_id}.")
