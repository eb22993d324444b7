"""What is known of a request before anything is decided about it, fit to be stored."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest

from lightfield.kernel.ids import uuid7
from triggers.deliveries import headers

MOST_TYPE: Final = 100
MOST_ADDRESS: Final = 64
_OUTSIDE_HTTP: Final = ("CONTENT_TYPE", "CONTENT_LENGTH")  # WSGI's names of two headers


@dataclass(slots=True)
class Arrival:
    """A request to some address. Its id is the delivery's, chosen here so that doing it again stores nothing twice."""

    token_hash: str
    address: str
    headers: dict[str, str]
    content_type: str
    size: int | None  # bytes of the body, as announced until it was read
    id: UUID = field(default_factory=uuid7)
    digest: bytes | None = None  # sha256 of the body, once it was read
    came_at: float = field(default_factory=time.monotonic)

    def with_body(self, raw: bytes, *, digest: bytes | None = None) -> None:
        self.size = len(raw)
        self.digest = digest or hashlib.sha256(raw).digest()


def arrived(request: HttpRequest, *, token: str, token_hash: str, client: str) -> Arrival:
    """Look at a request to `/hooks/<token>`. Reads nothing of its body; costs no statement.

    Args:
        client: the sender's address as it is throttled by, so behind proxies of ours not the proxy's.
    """
    meta = request.META
    announced = meta.get("CONTENT_LENGTH") or ""
    return Arrival(
        token_hash=token_hash,
        address=client[:MOST_ADDRESS],
        headers=headers.kept(_fields(meta), token=token),
        content_type=headers.text(meta.get("CONTENT_TYPE") or "", token=token, most=MOST_TYPE),
        size=int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 16 else None,
    )


def _fields(meta: dict[str, Any]) -> list[tuple[str, str]]:
    """The headers as WSGI shows them; a repeated one has its values joined."""
    found = [
        (name[5:].replace("_", "-"), str(value)) for name, value in meta.items() if name.startswith("HTTP_")
    ]
    return found + [(name.replace("_", "-"), str(meta[name])) for name in _OUTSIDE_HTTP if meta.get(name)]
