"""Stripe: `Stripe-Signature: t=<Unix seconds>,v1=<hex>,v1=…`; the signed message is `<t>.<body>`.

The secret is used as it is shown, `whsec_` included.

Source: docs.stripe.com/webhooks, "Verify webhook signatures manually".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from triggers.signatures.scheme import (
    BadSignature,
    Check,
    Presented,
    Scheme,
    instant,
    looked_at,
    on_the_wire,
    required,
)


@dataclass(frozen=True)
class Stripe(Scheme):
    name = "stripe"
    header: str = "stripe-signature"
    id_field: str = "id"
    secret_prefix: str = "whsec_"  # noqa: S105  what one begins with

    @property
    def headers(self) -> tuple[str, ...]:
        return (self.header,)

    def read(self, headers: Mapping[str, str]) -> Presented:
        parts = [part.partition("=") for part in required(headers, self.header).split(",")]
        times = [value for name, _, value in parts if name.strip() == "t"]
        if len(times) != 1:
            raise BadSignature(Check.MALFORMED_HEADER)
        signatures = looked_at([value for name, _, value in parts if name.strip() == "v1"])
        return Presented(
            signatures=signatures,
            signed_before_body=on_the_wire(f"{times[0]}."),
            signed_at=instant(times[0]),
        )
