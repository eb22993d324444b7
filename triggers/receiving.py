"""A webhook from its bytes to its event: whose address, signed as it should be, which JSON, the same as before?

A request that carries some scheme's signature is judged before it is read: one look at the endpoint, HMACs over the
raw bytes, then the JSON, then the event. One without any has nothing to judge: one statement looks and captures, and
takes nothing where a signature is asked for.

Whether a body is JSON is told to everybody, whatever the address is and whether the signature is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from lightfield.kernel import idempotency_key as keys
from lightfield.kernel import sql, strict_json
from triggers import endpoints, outbox, webhook_secrets
from triggers.decisions import Verdict
from triggers.deliveries.arrivals import Arrival
from triggers.endpoints import Endpoint
from triggers.outbox import Captured, NotTaken
from triggers.signatures import PRESETS_BY_NAME, Check, Scheme, Verification, claimed_scheme, verify
from triggers.signatures.delivery_key import DeliveryKey, delivery_key

ROUNDS: Final = 3  # a workflow that is published anew, signed otherwise, while its webhook is judged


@dataclass(frozen=True)
class Incoming:
    """A request to `/hooks/<token>` as it came. The id of its event is chosen before anything is asked."""

    token_hash: str
    raw: bytes
    headers: Mapping[str, str]  # those that `signatures.headers_of` picks
    idempotency_header: str | None
    event_id: UUID
    trace_id: str
    arrival: Arrival | None = None  # for the inbox; None: nobody delivered it

    @property
    def claims(self) -> Scheme | None:
        return claimed_scheme(self.headers)

    @cached_property
    def idempotency_key(self) -> str | None:
        """Raises RequestRefused: `idempotency.key_invalid`."""
        return keys.read(self.idempotency_header)

    @cached_property
    def body(self) -> Any:
        """Raises RequestRefused: `payload.*`."""
        return strict_json.parse(self.raw)

    @cached_property
    def digest(self) -> bytes:
        return strict_json.digest(self.raw)


@dataclass(frozen=True)
class Received:
    """What became of a webhook. An address that nobody has: no trigger, no verdict."""

    trigger_id: int | None = None
    verdict: Verdict | None = None  # FIRED: accepted
    captured: Captured | None = None
    check: Check | None = None  # which one failed, of BAD_SIGNATURE; never part of an answer


def receive(incoming: Incoming) -> Received:
    """Raises what `services.receive_webhook` says."""
    claimed = incoming.claims
    if claimed is None:
        return _without_signature(incoming)
    for _ in range(ROUNDS):
        received = _with_signature(incoming, claimed)
        if received is not None:
            return received
    raise sql.OperationalError("published anew as often as its webhook was judged")


def _without_signature(incoming: Incoming) -> Received:
    taken = _capture(incoming, DeliveryKey(incoming.idempotency_key), verified="")
    if isinstance(taken, NotTaken):
        return _not_taken(taken, Check.MISSING_HEADER)
    return _taken(taken)


def _with_signature(incoming: Incoming, claimed: Scheme) -> Received | None:
    """None: what it was judged by does not hold any more."""
    endpoint = endpoints.look_at(incoming.token_hash)
    verification = _judged(incoming, endpoint, claimed)
    incoming.body  # noqa: B018  what is no JSON is told to everybody alike
    if endpoint is None:
        return Received()
    if endpoint.refused_as:
        return Received(endpoint.trigger_id, endpoint.refused_as)
    if endpoint.signing and not verification.is_signed:
        return Received(endpoint.trigger_id, Verdict.BAD_SIGNATURE, check=verification.failed)
    taken = _capture(incoming, _key_of(incoming, endpoint, verification), verified=endpoint.signing)
    if isinstance(taken, NotTaken):
        return None if taken.refused_as == outbox.UNVERIFIED else _not_taken(taken)
    return _taken(taken)


def _judged(incoming: Incoming, endpoint: Endpoint | None, claimed: Scheme) -> Verification:
    """By the endpoint's scheme and secrets; where there are none, as much work by the one that the request claims.

    So too where another release knows how the endpoint is signed: its secrets are not tried in any other way.
    """
    preset = PRESETS_BY_NAME.get(endpoint.signing) if endpoint else None
    sealed = endpoint.sealed_secrets if endpoint and preset else []
    return verify(
        preset.signing if preset else claimed,
        headers=incoming.headers,
        raw=incoming.raw,
        secrets=webhook_secrets.for_verifying(sealed),
        now=endpoint.now if endpoint else 0,
    )


def _key_of(incoming: Incoming, endpoint: Endpoint, verification: Verification) -> DeliveryKey:
    preset = PRESETS_BY_NAME.get(endpoint.signing)
    if preset is None:
        return DeliveryKey(incoming.idempotency_key)
    return delivery_key(
        preset.signing,
        signed_id=verification.signed_id,
        body=incoming.body,
        body_digest=incoming.digest,
        headers=incoming.headers,
        idempotency_key=incoming.idempotency_key,
    )


def _capture(incoming: Incoming, key: DeliveryKey, *, verified: str) -> Captured | NotTaken:
    return outbox.capture_webhook(
        token_hash=incoming.token_hash,
        event_id=incoming.event_id,
        body=incoming.raw.decode(),
        body_digest=incoming.digest,
        idempotency_key=key.key,
        trace_id=incoming.trace_id,
        verified=verified,
        is_replayable=key.is_replayable,
        arrival=incoming.arrival,
    )


def _not_taken(taken: NotTaken, check: Check | None = None) -> Received:
    if taken.refused_as == outbox.UNVERIFIED:
        return Received(taken.trigger_id, Verdict.BAD_SIGNATURE, check=check)
    return Received(taken.trigger_id, Verdict(taken.refused_as) if taken.refused_as else None)


def _taken(captured: Captured) -> Received:
    verdict = Verdict.DUPLICATE if captured.is_duplicate else Verdict.FIRED
    return Received(captured.trigger_id, verdict if captured.has_same_body else Verdict.KEY_REUSED, captured)
