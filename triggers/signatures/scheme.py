"""What a signature scheme is. Pure: headers, bytes, a secret and an instant in; what was found out."""

from __future__ import annotations

import base64
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal

MOST_SIGNATURES: Final = 8  # of one request; a sender that rotates needs two
LONGEST_ID: Final = 1024  # characters of a signed id; what is long is kept as its hash

Encoding = Literal["hex", "base64"]
_INSTANT: Final = re.compile(r"[0-9]{1,12}")
_PRINTABLE: Final = re.compile(r"[^\x00-\x1f\x7f]{16,255}")


class Check(StrEnum):
    """Which check a request failed. For those who may change the address; never part of an answer."""

    MISSING_HEADER = "missing_header"  # a header that the scheme needs is not there
    MALFORMED_HEADER = "malformed_header"  # it is there and does not have its form
    TOO_MANY_SIGNATURES = "too_many_signatures"  # more than anybody needs: not looked at
    NO_SECRET = "no_secret"  # noqa: S105  a word, not one: none is live, or its encryption key is gone
    NO_MATCHING_SIGNATURE = "no_matching_signature"  # another secret, or it was changed on the way
    TIMESTAMP_OUTSIDE_TOLERANCE = (
        "timestamp_outside_tolerance"  # rightly signed, too long ago or too far ahead
    )


class BadSignature(Exception):
    """The headers alone show that the request is not signed as it should be."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.value)
        self.check = check


@dataclass(frozen=True)
class Presented:
    """What a request's headers claim."""

    signatures: tuple[bytes, ...]  # as they were written: a decoded one would have several spellings
    signed_before_body: bytes = b""  # the signed message is this, then the raw body
    signed_at: int | None = None  # Unix seconds; None where the scheme signs no time
    signed_id: str | None = None


@dataclass(frozen=True)
class Scheme(ABC):
    """One way to sign. Subclasses are small and hold options only: header names, an encoding."""

    name: ClassVar[str]
    encoding: Encoding = "hex"
    id_field: str = ""  # the member of the body that tells deliveries apart, if the sender has one
    secret_prefix: str = ""  # what its secrets begin with, so that an API key is not pasted for one

    @property
    @abstractmethod
    def headers(self) -> tuple[str, ...]:
        """Lower case; the first is the one that holds the signature."""

    @abstractmethod
    def read(self, headers: Mapping[str, str]) -> Presented:
        """What these headers claim. Raises BadSignature."""

    def key_of(self, secret: str) -> bytes:
        """The HMAC key of a secret that has no flaw."""
        return secret.encode()

    def flaw_of(self, secret: str) -> str:
        """Why this cannot be a secret of the scheme, in words that do not repeat it; empty when it can."""
        if not secret.startswith(self.secret_prefix):
            return f"The secret begins with {self.secret_prefix}."
        return "" if _PRINTABLE.fullmatch(secret) else "Use 16 to 255 characters without control characters."

    def new_secret(self) -> str:
        """One of 256 random bits, for a sender that takes ours."""
        return self.secret_prefix + secrets.token_urlsafe(32)

    def encoded(self, digest: bytes) -> bytes:
        """A digest as the header spells it."""
        return base64.b64encode(digest) if self.encoding == "base64" else digest.hex().encode()

    def id_in(self, body: Any) -> str | None:
        """The delivery's id in a body whose signature was right."""
        found = body.get(self.id_field) if self.id_field and isinstance(body, dict) else None
        return found if isinstance(found, str) and 0 < len(found) <= LONGEST_ID else None

    def delivery_id(self, headers: Mapping[str, str]) -> str | None:  # noqa: ARG002  for schemes that have one
        """The delivery's id in a header that nobody signed."""
        return None


def required(headers: Mapping[str, str], name: str) -> str:
    """Raises BadSignature."""
    value = headers.get(name, "")
    if not value:
        raise BadSignature(Check.MISSING_HEADER)
    return value


def instant(text: str) -> int:
    """Unix seconds, digits only: what was signed is the text, so nothing may be read two ways. Raises BadSignature."""
    if not _INSTANT.fullmatch(text):
        raise BadSignature(Check.MALFORMED_HEADER)
    return int(text)


def looked_at(signatures: list[str]) -> tuple[bytes, ...]:
    """Raises BadSignature when there are more than are looked at."""
    if len(signatures) > MOST_SIGNATURES:
        raise BadSignature(Check.TOO_MANY_SIGNATURES)
    return tuple(map(on_the_wire, signatures))


def on_the_wire(text: str) -> bytes:
    """The bytes of a header: WSGI hands them over as Latin-1, whatever they were meant to be."""
    return text.encode("latin-1", "replace")
