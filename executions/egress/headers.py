"""Header fields: which an author may set, and which nobody may read later."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from lightfield.kernel.errors import PermanentStepError

MAX_FIELDS: Final = 100
MAX_HEADER_BYTES: Final = 32_768
REDACTED: Final = "[redacted]"

# RFC 9110 section 5.6.2
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # a tab may stand in a value
# They frame the message or belong to one connection: whoever sets them can make two requests of one.
_OURS: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_REPLACED: Final = frozenset({"accept-encoding"})  # ours says what we can decode
_SECRET_NAMES: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_SECRET_PARTS: Final = ("token", "key", "secret", "password", "signature", "credential", "auth")
_NEVER_SECRET: Final = frozenset({"idempotency-key"})

Fields = list[tuple[bytes, bytes]]


def encode_fields(headers: Mapping[str, str]) -> Fields:
    """Check an author's headers and turn them into bytes. Text beyond ASCII goes out as UTF-8.

    Raises:
        PermanentStepError: `egress.invalid_header`, naming the header but never its value.
    """
    fields: Fields = []
    seen: set[str] = set()
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise _invalid(name, "the name is not valid")
        lowered = name.lower()
        if lowered in _OURS:
            raise _invalid(name, "it is set by the system")
        if lowered in seen:
            raise _invalid(name, "it stands there twice")
        if _CONTROL.search(value):
            raise _invalid(name, "the value holds control characters")
        seen.add(lowered)
        if lowered in _REPLACED:
            continue
        try:
            fields.append((name.encode("ascii"), value.strip(" \t").encode()))
        except UnicodeEncodeError:
            raise _invalid(name, "the value holds half of a surrogate pair") from None
    if len(fields) > MAX_FIELDS or sum(len(name) + len(value) for name, value in fields) > MAX_HEADER_BYTES:
        raise PermanentStepError(
            "egress.invalid_header", f"More than {MAX_FIELDS} headers or {MAX_HEADER_BYTES} bytes of them."
        )
    return fields


# What is kept of a secret can be compared in this process, and is of no use else.
_PROCESS_KEY: Final = os.urandom(32)


def identity_of(fields: Fields, key: str = "", *, late: Fields | None = None) -> bytes:
    """Who a request speaks for: equal for equal secret headers and `key`, empty without either. Tells nothing of them.

    All that is `late` is secret, whatever its name.
    """
    named = [field for field in fields if is_secret(field[0].decode("ascii"))]
    secrets = sorted((name.lower(), bytes(value)) for name, value in [*named, *(late or [])])
    if not secrets and not key:
        return b""
    told = hashlib.blake2b(key=_PROCESS_KEY, digest_size=16)
    for part in [key.encode(), *(text for field in secrets for text in field)]:
        told.update(b"%d:%b" % (len(part), part))
    return told.digest()


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """True for headers that carry who somebody is: never stored, never sent to another origin."""
    lowered = name.lower()
    if lowered in _NEVER_SECRET:
        return False
    return lowered in _SECRET_NAMES or any(part in lowered for part in _SECRET_PARTS)


def decode_fields(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names in lower case; the values of a repeated header joined with commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("ascii").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _invalid(name: str, why: str) -> PermanentStepError:
    shown = name if _TOKEN.fullmatch(name) else ascii(name[:40])
    return PermanentStepError("egress.invalid_header", f"The header {shown} cannot be sent: {why}.")
