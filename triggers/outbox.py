"""The outbox: where events are written. An event is stored with its cause, or not at all.

Two doors are here. `append_event` joins the transaction of its cause and refuses to work without one.
`capture_webhook` has no cause inside the database: one statement that commits by itself. The third, for changes of
records, is a function in the database (`triggers.records.statements`), and no other writes events.

Whoever inserts a key first wins. The loser's INSERT waits for the winner's COMMIT and then adds nothing; only
a second statement, with a snapshot taken after that wait, can see the winner's row and answer with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from lightfield.kernel import bells, sql
from lightfield.kernel import idempotency_key as keys
from lightfield.kernel import traceparent as trace_context
from lightfield.kernel.ids import uuid7
from triggers.causes import DEEPEST
from triggers.decisions import Verdict, note, note_on_commit
from triggers.deliveries import desk, statements
from triggers.deliveries.arrivals import Arrival
from triggers.deliveries.models import DeliveryVerdict
from triggers.models import OutboxEvent, Trigger

TEST: Final = "test"  # the source of what people try a draft with

# The version is pinned here: whatever is published before the dispatch, the run executes this one.
INSERT = """
  INSERT INTO triggers_outboxevent
    (id, trigger_id, workflow_id, version_id, source, idempotency_key, body_digest, payload, shard, trace_id,
     depth, caused_by, status, tries)
  SELECT %(id)s::uuid, found.id, found.workflow_id, found.version_id, %(source)s::varchar, %(key)s::varchar,
         %(digest)s::bytea, %(payload)s::jsonb, found.shard, %(trace_id)s::varchar, %(depth)s::smallint,
         %(caused_by)s::uuid, 'pending', 0
  FROM found
  ON CONFLICT DO NOTHING
  RETURNING id
"""

# `refused_as`, a verdict: why the trigger of this token takes nothing now, told by the same one look at it.
CAPTURE_WEBHOOK = f"""
WITH known AS MATERIALIZED (
  SELECT t.id, t.shard, w.id AS workflow_id, w.active_version_id AS version_id,
    CASE WHEN w.status = 'active' AND t.kind = 'webhook' THEN NULL
         WHEN w.status IN ('paused', 'archived') THEN w.status
         WHEN w.status = 'active' THEN 'other_kind' ELSE 'not_published' END AS refused_as
  FROM triggers_trigger t JOIN workflows_workflow w ON w.id = t.workflow_id
  WHERE t.token_hash = %(token_hash)s::varchar),
found AS (SELECT * FROM known WHERE refused_as IS NULL),
added AS ({INSERT}),
delivered AS ({statements.ACCEPTED})
SELECT known.id, known.shard, added.id, known.refused_as FROM known LEFT JOIN added ON true
"""

APPEND = f"""
WITH found AS MATERIALIZED (
  SELECT t.id, t.shard, w.id AS workflow_id, w.active_version_id AS version_id
  FROM triggers_trigger t JOIN workflows_workflow w ON w.id = t.workflow_id
  WHERE t.id = %(trigger_id)s::bigint)
{INSERT}
"""

# Pinned to the frozen draft instead.
APPEND_TEST = f"""
WITH found AS MATERIALIZED (
  SELECT t.id, t.shard, v.workflow_id, v.id AS version_id
  FROM triggers_trigger t JOIN workflows_workflowversion v ON v.workflow_id = t.workflow_id
  WHERE t.id = %(trigger_id)s::bigint AND v.id = %(version_id)s::bigint AND v.is_test)
{INSERT}
"""

# Equal bytes are the usual case; a sender that writes the same JSON differently still means the same.
WINNER = """
SELECT id, coalesce(body_digest = %(digest)s::bytea, false) OR payload = %(payload)s::jsonb
FROM triggers_outboxevent
WHERE trigger_id = %(trigger_id)s::bigint AND source = %(source)s::varchar AND idempotency_key = %(key)s::varchar
"""

ALREADY_THERE = "SELECT id, true FROM triggers_outboxevent WHERE id = %(id)s::uuid"


@dataclass(frozen=True)
class Captured:
    """The answer to "it happened": the event, whether it was there before, and with the same body."""

    event_id: UUID
    is_duplicate: bool
    has_same_body: bool = True


def append_event(
    *,
    trigger: Trigger,
    source: str,
    payload: Any,
    idempotency_key: str | None,
    trace_id: str,
    body_digest: bytes | None = None,
    depth: int = 0,
    caused_by: UUID | None = None,
) -> Captured:
    """Record that a published trigger fired. Call it inside the transaction of the cause.

    A repeated key answers with the event recorded first. Whether the workflow takes events now is the
    caller's question; the version that is active at this moment is pinned.

    Args:
        source: the scope of the key: `webhook`, `manual`, `record` or `schedule`.
        payload: JSON that passed `strict_json`.
        body_digest: sha256 of the payload as it came, when it came as bytes.
        depth: how many runs led to it; `caused_by` is the last of them.

    Raises:
        RuntimeError: there is no transaction, so event and cause could part.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("append_event() must share a transaction with its cause")
    params = _columns(
        event_id=uuid7(),
        source=source,
        payload=json.dumps(payload, ensure_ascii=False, allow_nan=False),
        idempotency_key=idempotency_key,
        trace_id=trace_id,
        body_digest=body_digest,
        depth=depth,
        caused_by=caused_by,
    )
    params["trigger_id"] = trigger.pk
    added = sql.row(APPEND, params)
    return _settled(params, trigger_id=trigger.pk, shard=trigger.shard, was_added=added is not None)


def append_again(event: OutboxEvent) -> Captured:
    """Send a stored event through capture once more, as itself: under its own id and its own key, if it has one.

    Either alone is known already, so nothing is added; should the dispatcher's bell have been lost, it rings. Call it
    with the event's row locked, so that it is there until COMMIT.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("append_again() must share a transaction with the lock of its event")
    params = {**_columns_again(event), "id": event.pk, "key": event.idempotency_key}
    params |= {"source": event.source, "trigger_id": event.trigger_id}
    was_added = sql.row(APPEND, params) is not None
    transaction.on_commit(partial(bells.ring_dispatch, event.shard), robust=True)
    return Captured(event.pk, is_duplicate=not was_added)


def append_test(event: OutboxEvent, *, version_id: int) -> Captured:
    """Record a test with the payload of a stored event, to be run by this frozen draft. Inside a transaction."""
    if not connection.in_atomic_block:
        raise RuntimeError("append_test() must share a transaction with its cause")
    params = _columns_again(event) | {"trigger_id": event.trigger_id, "version_id": version_id}
    added = sql.row(APPEND_TEST, params)
    if added is None:
        raise RuntimeError("a test runs on a frozen draft of its own workflow")
    return _settled(params, trigger_id=event.trigger_id, shard=event.shard, was_added=True)


def _columns_again(event: OutboxEvent) -> dict[str, Any]:
    """As a new event of the source `test` without a key, in a trace of its own."""
    return _columns(
        event_id=uuid7(),
        source=TEST,
        payload=json.dumps(event.payload, ensure_ascii=False, allow_nan=False),
        idempotency_key=None,
        trace_id=trace_context.new_trace_id(),
        body_digest=bytes(event.body_digest) if event.body_digest else None,
    )


def capture_webhook(
    *,
    token_hash: str,
    event_id: UUID,
    body: str,
    body_digest: bytes,
    idempotency_key: str | None,
    trace_id: str,
    arrival: Arrival | None = None,
) -> Captured | None:
    """Record a webhook for the active workflow that this token belongs to; None when there is none.

    Why a known trigger took nothing is noted; of an unknown token nothing is, so no flood of them reaches the notes.

    The event is committed when this returns. The caller chooses `event_id`: to repeat the call with the same
    one is safe, also when the answer to the COMMIT was lost.

    Args:
        body: the JSON text as received; it passed `strict_json.parse`.
        arrival: the request that brought it: its delivery is stored with the event, or noted if there is none. None:
            nobody delivered it, and no delivery is told of.

    Raises:
        RuntimeError: inside a transaction, where nothing would be committed yet.
        django.db.OperationalError, InterfaceError: the database does not answer.
    """
    if connection.in_atomic_block:
        raise RuntimeError("capture_webhook() commits by itself: call it outside a transaction")
    params = _columns(
        event_id=event_id,
        source="webhook",
        payload=body,
        idempotency_key=idempotency_key,
        trace_id=trace_id,
        body_digest=body_digest,
    )
    params |= {"token_hash": token_hash, **statements.columns(arrival)}
    found = sql.row(CAPTURE_WEBHOOK, params)
    if found is None:
        desk.note_unmatched()
        return None
    trigger_id, shard, added, refused_as = found
    if refused_as is not None:
        detail = {"source": "webhook", **({"delivery_id": str(arrival.id)} if arrival else {})}
        note(trigger_id=trigger_id, verdict=Verdict(refused_as), detail=detail)
        if arrival:
            desk.note(arrival, DeliveryVerdict(refused_as), trigger_id=trigger_id)
        return None
    captured = _settled(
        params, trigger_id=trigger_id, shard=shard, was_added=added is not None, arrival=arrival
    )
    if arrival and captured.is_duplicate:
        _note_delivery(arrival, captured, trigger_id=trigger_id, body=body)
    return captured


def _note_delivery(arrival: Arrival, captured: Captured, *, trigger_id: int, body: str) -> None:
    """Of what a sender repeats. A mismatch keeps its body, so that a person can see what was meant."""
    if captured.has_same_body:
        desk.note(arrival, DeliveryVerdict.DUPLICATE, trigger_id=trigger_id, event_id=captured.event_id)
        return
    desk.note(
        arrival,
        DeliveryVerdict.BODY_MISMATCH,
        trigger_id=trigger_id,
        event_id=captured.event_id,
        code="idempotency.body_mismatch",
        body=body,
    )


def _columns(
    *,
    event_id: UUID,
    source: str,
    payload: str,
    idempotency_key: str | None,
    trace_id: str,
    body_digest: bytes | None,
    depth: int = 0,
    caused_by: UUID | None = None,
) -> dict[str, Any]:
    return {
        "id": event_id,
        "source": source,
        "payload": payload,
        "key": None if idempotency_key is None else keys.stored(idempotency_key),
        "trace_id": trace_id,
        "digest": body_digest,
        "depth": min(depth, DEEPEST),
        "caused_by": caused_by,
    }


def _settled(
    params: dict[str, Any], *, trigger_id: int, shard: int, was_added: bool, arrival: Arrival | None = None
) -> Captured:
    """Ring for a new event, or find the one that was there first."""
    event_id: UUID = params["id"]
    if not was_added:
        winner = sql.row(WINNER if params["key"] else ALREADY_THERE, {**params, "trigger_id": trigger_id})
        if winner is None:
            raise sql.OperationalError("the event that held this key was deleted meanwhile")
        if winner[0] != event_id:
            _note_repetition(params, winner, trigger_id=trigger_id, arrival=arrival)
            return Captured(winner[0], is_duplicate=True, has_same_body=winner[1])
    transaction.on_commit(partial(bells.ring_dispatch, shard), robust=True)
    return Captured(event_id, is_duplicate=False)


def _note_repetition(
    params: dict[str, Any], winner: tuple[Any, ...], *, trigger_id: int, arrival: Arrival | None
) -> None:
    """What senders repeat. Our own keys (a change's, an instant's) meet each other by design: nobody asks why."""
    if params["source"] not in ("webhook", "manual"):
        return
    winner_id, is_same = winner
    decided = note_on_commit if is_same else note  # another body is refused, and the transaction ends
    decided(
        trigger_id=trigger_id,
        verdict=Verdict.DUPLICATE if is_same else Verdict.KEY_REUSED,
        subject=f"key {params['key']}",
        detail={
            "source": params["source"],
            "event_id": str(winner_id),
            **({"delivery_id": str(arrival.id)} if arrival else {}),
        },
    )
