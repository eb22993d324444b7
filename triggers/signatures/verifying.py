"""Is this request signed by somebody who knows a live secret? Always the same work, whatever the answer.

For an address that nobody has, for headers that are not there, for one secret or two: as many HMACs over the
whole body are computed and compared. So the time of an answer tells no more than its bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from triggers.signatures.scheme import BadSignature, Check, Presented, Scheme

TOLERANCE_SECONDS: Final = 300  # both ways: a request may be late, and a sender's clock may be ahead
MOST_LIVE: Final = 2  # secrets at a time: one, and the one before while it is being replaced

NOTHING: Final = Presented(signatures=())
_DUMMY_KEY: Final = randomness.token_bytes(32)


@dataclass(frozen=True)
class Verification:
    """`failed`: the check that did not hold; None when the request is signed."""

    failed: Check | None
    signed_id: str | None = None

    @property
    def is_signed(self) -> bool:
        return self.failed is None


def verify(
    scheme: Scheme, *, headers: Mapping[str, str], raw: bytes, secrets: Sequence[str], now: float
) -> Verification:
    """Any live secret with any signature of the request.

    Args:
        headers: by their names in lower case, as `headers_of` picks them.
        raw: the body as it came.
        secrets: the live ones, at most two; none for an address that nobody has.
        now: Unix seconds, by the clock that judges.
    """
    presented, failed = NOTHING, None
    try:
        presented = scheme.read(headers)
    except BadSignature as error:
        failed = error.check
    is_matching = False
    for key in _keys(scheme, secrets):
        expected = scheme.encoded(_mac(key or _DUMMY_KEY, presented.signed_before_body, raw))
        for signature in presented.signatures:
            is_matching |= hmac.compare_digest(expected, signature) and key is not None
    failed = failed or _judged(presented, is_matching, has_secret=bool(secrets), now=now)
    return Verification(failed, None if failed else presented.signed_id)


def _judged(presented: Presented, is_matching: bool, *, has_secret: bool, now: float) -> Check | None:
    if not has_secret:
        return Check.NO_SECRET
    if not is_matching:
        return Check.NO_MATCHING_SIGNATURE
    if presented.signed_at is not None and abs(now - presented.signed_at) > TOLERANCE_SECONDS:
        return Check.TIMESTAMP_OUTSIDE_TOLERANCE
    return None


def _keys(scheme: Scheme, secrets: Sequence[str]) -> list[bytes | None]:
    """Always as many as there may be; None stands for one that is not there."""
    found: list[bytes | None] = [scheme.key_of(secret) for secret in secrets[:MOST_LIVE]]
    return found + [None] * (MOST_LIVE - len(found))


def _mac(key: bytes, before: bytes, raw: bytes) -> bytes:
    mac = hmac.new(key, before, hashlib.sha256)
    mac.update(raw)
    return mac.digest()
