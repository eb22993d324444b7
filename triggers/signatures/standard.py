"""Standard Webhooks: `webhook-id`, `webhook-timestamp` and several `v1,<base64>` in `webhook-signature`.

The signed message is `<id>.<timestamp>.<body>`. Version `v1a` (ed25519) is not verified: see docs/webhooks.md.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, version 1.0.0.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from triggers.signatures.scheme import (
    LONGEST_ID,
    MOST_SIGNATURES,
    BadSignature,
    Check,
    Presented,
    Scheme,
    instant,
    looked_at,
    on_the_wire,
    required,
)

PREFIX: Final = "whsec_"
VERSION: Final = "v1,"
KEY_BYTES: Final = range(24, 65)


@dataclass(frozen=True)
class Standard(Scheme):
    """`brand` stands in front of the three header names: `webhook`, or `svix` of senders older than the standard."""

    name = "standard"
    encoding: Literal["base64"] = "base64"
    secret_prefix: str = PREFIX
    brand: str = "webhook"

    @property
    def headers(self) -> tuple[str, ...]:
        return f"{self.brand}-signature", f"{self.brand}-id", f"{self.brand}-timestamp"

    def read(self, headers: Mapping[str, str]) -> Presented:
        signature, signed_id, signed_at = (required(headers, name) for name in self.headers)
        # A dot in the id could be moved across the border to the time, and the same signature would hold for both.
        if "." in signed_id or len(signed_id) > LONGEST_ID or not signed_id.isprintable():
            raise BadSignature(Check.MALFORMED_HEADER)
        listed = signature.split(" ", MOST_SIGNATURES)
        looked_at(listed)
        return Presented(
            signatures=looked_at([one.removeprefix(VERSION) for one in listed if one.startswith(VERSION)]),
            signed_before_body=on_the_wire(f"{signed_id}.{signed_at}."),
            signed_at=instant(signed_at),
            signed_id=signed_id,
        )

    def key_of(self, secret: str) -> bytes:
        return _decoded(secret) or b""

    def flaw_of(self, secret: str) -> str:
        key = _decoded(secret)
        if key is None or len(key) not in KEY_BYTES:
            return f"The secret is {PREFIX} and the base64 of 24 to 64 bytes."
        return ""

    def new_secret(self) -> str:
        return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _decoded(secret: str) -> bytes | None:
    """The key in a secret; its padding may be missing, as some senders show it."""
    text = secret.removeprefix(PREFIX)
    if text == secret or not text.isascii():
        return None
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None
