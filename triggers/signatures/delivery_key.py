"""Which key makes a delivery the same as an earlier one. Pure.

A key that the signature does not cover could be chosen anew by whoever replays a signed request. Then the body
itself is looked for among those of the last ten minutes, twice the tolerance: `triggers.outbox` keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from triggers.signatures.scheme import Scheme


@dataclass(frozen=True)
class DeliveryKey:
    """`is_replayable`: the request is signed and its key, if it has one, is not."""

    key: str | None
    is_replayable: bool = False


def delivery_key(
    scheme: Scheme,
    *,
    signed_id: str | None,
    body: Any,
    body_digest: bytes,
    headers: Mapping[str, str],
    idempotency_key: str | None,
) -> DeliveryKey:
    """The first that there is: the signed id, `Idempotency-Key`, the sender's own id with the body's hash.

    Args:
        signed_id: of the headers; else one in `body` is looked for, which the signature covers too.
        idempotency_key: the header's, already judged.
    """
    signed = signed_id or scheme.id_in(body)
    if signed:
        return DeliveryKey(signed)
    if idempotency_key:
        return DeliveryKey(idempotency_key, is_replayable=True)
    delivery_id = scheme.delivery_id(headers)
    return DeliveryKey(
        f"{delivery_id}.{body_digest.hex()}" if delivery_id else None,
        is_replayable=True,
    )
