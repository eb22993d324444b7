"""GitHub: `X-Hub-Signature-256: sha256=<hex>` over the body alone. Neither a time nor the delivery's id is signed.

Source: docs.github.com, "Validating webhook deliveries".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from triggers.signatures.scheme import (
    LONGEST_ID,
    BadSignature,
    Check,
    Presented,
    Scheme,
    looked_at,
    required,
)

ALGORITHM: Final = "sha256="


@dataclass(frozen=True)
class GitHub(Scheme):
    name = "github"
    header: str = "x-hub-signature-256"
    delivery_header: str = "x-github-delivery"

    @property
    def headers(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.header, self.delivery_header)))

    def read(self, headers: Mapping[str, str]) -> Presented:
        value = required(headers, self.header)
        if not value.startswith(ALGORITHM):
            raise BadSignature(Check.MALFORMED_HEADER)
        return Presented(signatures=looked_at([value.removeprefix(ALGORITHM)]))

    def delivery_id(self, headers: Mapping[str, str]) -> str | None:
        found = headers.get(self.delivery_header, "") if self.delivery_header else ""
        return found[:LONGEST_ID] or None
