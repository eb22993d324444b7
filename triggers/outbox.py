"""The outbox: where events are written. An event is stored with its cause, or not at all.

The doors here: `append_event` joins the transaction of its cause and refuses to work without one; `append_again` and
`append_test` send a stored event once more, as itself or as a test; `capture_webhook` has no cause inside the database
and is one statement that commits by itself. Changes of records have functions in the database (`triggers.records`). No other
writes events.

Whoever inserts a key first wins. The loser's INSERT waits for the winner's COMMIT and then adds nothing; only
a second statement, with a snapshot taken after that wait, can see the winner's row and answer with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
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
from triggers.outbox_statements import (
    ALREADY_THERE,
    APPEND,
    APPEND_TEST,
    CAPTURE_REPLAYABLE,
    CAPTURE_WEBHOOK,
    FORGET_BODIES,
    FORGET_BODY,
    SAME_BODY,
    WINNER,
)

TEST: Final = "test"  # the source of what people try a draft with


@dataclass(frozen=True)
class Captured:
    """The answer to "it happened": the event, whether it was there before, and with the same body."""

    event_id: UUID
    is_duplicate: bool
    has_same_body: bool = True
    trigger_id: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class NotTaken:
    """No event: nobody has the address, or its trigger takes nothing now. `UNVERIFIED`: it wants a signature."""

    trigger_id: int | None = None
    refused_as: str = ""


UNVERIFIED = "unverified"


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
    verified: str = "",
    is_replayable: bool = False,
    arrival: Arrival | None = None,
) -> Captured | NotTaken:
    """Record a webhook for the active workflow that this token belongs to, if it may start it.

    The event is committed when this returns. The caller chooses `event_id`: to repeat the call with the same
    one is safe, also when the answer to the COMMIT was lost.

    Args:
        body: the JSON text as received; it passed `strict_json.parse`.
        verified: how its signature was found right, the name of a preset; a trigger that asks for another takes nothing.
        is_replayable: the same body within ten minutes is the same event, whatever its key.
        arrival: the request that brought it: its delivery is stored with the event, or noted if it repeats another. None:
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
    params |= {"token_hash": token_hash, "verified": verified, **statements.columns(arrival)}
    found = sql.row(CAPTURE_REPLAYABLE if is_replayable else CAPTURE_WEBHOOK, params)
    if found is None:
        return NotTaken()
    trigger_id, shard, added, refused_as = found
    if refused_as is not None:
        return NotTaken(trigger_id, refused_as)
    captured = _settled(
        params,
        trigger_id=trigger_id,
        shard=shard,
        was_added=added is not None,
        is_replayable=is_replayable,
        arrival=arrival,
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


def forget_bodies() -> None:
    """Those that are older than any replay could be. Called by the sweep."""
    sql.rows(FORGET_BODIES, {"most": 10_000})


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
    params: dict[str, Any],
    *,
    trigger_id: int,
    shard: int,
    was_added: bool,
    is_replayable: bool = False,
    arrival: Arrival | None = None,
) -> Captured:
    """Ring for a new event, or find the one that was there first."""
    event_id: UUID = params["id"]
    if not was_added:
        winner = _winner({**params, "trigger_id": trigger_id}, is_replayable=is_replayable)
        if winner[0] != event_id:
            _note_repetition(params, winner, trigger_id=trigger_id, arrival=arrival)
            return Captured(winner[0], is_duplicate=True, has_same_body=winner[1], trigger_id=trigger_id)
    transaction.on_commit(partial(bells.ring_dispatch, shard), robust=True)
    return Captured(event_id, is_duplicate=False, trigger_id=trigger_id)


def _winner(params: dict[str, Any], *, is_replayable: bool) -> tuple[Any, ...]:
    """The event that was there first, by its key, by its body, or by its id where a capture is repeated."""
    statements = [WINNER if params["key"] else ALREADY_THERE, *([SAME_BODY] if is_replayable else [])]
    for statement in statements:
        winner = sql.row(statement, params)
        if winner is not None:
            return winner
    if is_replayable:
        sql.rows(FORGET_BODY, params)
    raise sql.OperationalError("what held this key or body is gone: the sender comes again")


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
        subject=f"key {params['key']}" if params["key"] else "",
        detail={
            "source": params["source"],
            "event_id": str(winner_id),
            **({"delivery_id": str(arrival.id)} if arrival else {}),
        },
    )
