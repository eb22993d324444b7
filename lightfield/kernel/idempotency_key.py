"""The `Idempotency-Key` header: how a caller says that two requests are one.

Source: draft-ietf-httpapi-idempotency-key-header-07, section 2; the length is Stripe's.
"""

from __future__ import annotations

import hashlib
import re

from lightfield.kernel.errors import RequestRefused

HEADER = "Idempotency-Key"
LONGEST_STORED_BYTES = 200  # the index on keys refuses rows of about 2,700 bytes; this is far below

_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")
_HASHED = "sha256:"


def read(header: str | None) -> str | None:
    """The key of a request, or None when it has none.

    Raises:
        RequestRefused: `idempotency.key_invalid`, for anything but 1 to 255 visible ASCII characters.
    """
    if header is None:
        return None
    if not _VISIBLE.fullmatch(header):
        raise RequestRefused("idempotency.key_invalid")
    return header


def stored(key: str) -> str:
    """The form in which a key is kept: itself, or its hash when it is long.

    A short key that looks like a hash is hashed too, so that nobody can write another key's hash by hand.
    """
    raw = key.encode()
    if len(raw) > LONGEST_STORED_BYTES or key.startswith(_HASHED):
        return _HASHED + hashlib.sha256(raw).hexdigest()
    return key
