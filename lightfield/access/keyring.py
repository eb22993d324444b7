"""The key ring: secrets at rest, encrypted with AES-256-GCM and bound to the row they belong to.

`LIGHTFIELD_ENCRYPTION_KEYS` lists `id:base64 of 32 random bytes`, separated by commas. The first key
encrypts, all of them decrypt: to change the key, put the new one in front and keep the old one.

A ciphertext is `lf1.<key id>.<base64url of 12 bytes nonce and the sealed text>`. What it is bound to, and
the key id, are authenticated with it: copied to another row, it no longer opens.

Source: NIST SP 800-38D; a random 96-bit nonce is safe for 2^32 encryptions under one key (section 8.3).
"""

from __future__ import annotations

import base64
import binascii
import functools
import os
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from lightfield.kernel.env import InvalidSetting
from lightfield.kernel.errors import LightfieldError

VARIABLE = "LIGHTFIELD_ENCRYPTION_KEYS"
PREFIX = "lf1"
NONCE_BYTES = 12
KEY_BYTES = 32
KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


class UnreadableSecret(LightfieldError):
    """A stored secret cannot be decrypted: its key is gone, or it was changed or moved to another row."""

    def __init__(self, reason: str) -> None:
        super().__init__("secret.unreadable", reason)


def encrypt(plaintext: str, *, bound_to: str) -> str:
    """Seal `plaintext` with the first key.

    Args:
        bound_to: what the secret belongs to, e.g. `trigger-token:<workflow id>`; needed again to open it.

    Raises:
        InvalidSetting: there is no usable key.
    """
    ring = _ring()
    key_id = next(iter(ring))
    nonce = os.urandom(NONCE_BYTES)
    sealed = ring[key_id].encrypt(nonce, plaintext.encode(), _associated(key_id, bound_to))
    return f"{PREFIX}.{key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def decrypt(ciphertext: str, *, bound_to: str) -> str:
    """Open what `encrypt` sealed for the same `bound_to`.

    Raises:
        UnreadableSecret: the key is not on the ring, or the text or its binding was changed.
        InvalidSetting: there is no usable key.
    """
    prefix, _, rest = ciphertext.partition(".")
    key_id, _, encoded = rest.partition(".")
    if prefix != PREFIX or not encoded:
        raise UnreadableSecret("The stored secret does not have the form of a ciphertext.")
    cipher = _ring().get(key_id)
    if cipher is None:
        raise UnreadableSecret(f"The key {key_id!r} is not in {VARIABLE}.")
    try:
        raw = base64.b64decode(encoded, altchars=b"-_", validate=True)
        opened = cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _associated(key_id, bound_to))
    except (InvalidTag, ValueError) as error:
        raise UnreadableSecret("The stored secret was changed or belongs to another row.") from error
    return opened.decode()


def first_key_id() -> str:
    """The key that encrypts. Raises `InvalidSetting`."""
    return next(iter(_ring()))


def key_ids() -> list[str]:
    """All keys of the ring, the first one first. Raises `InvalidSetting`."""
    return list(_ring())


def key_id_of(ciphertext: str) -> str:
    """The key that sealed it, whether it is on the ring or not; "?" for what is no ciphertext."""
    prefix, _, rest = ciphertext.partition(".")
    key_id, _, encoded = rest.partition(".")
    return key_id if prefix == PREFIX and encoded else "?"


def _associated(key_id: str, bound_to: str) -> bytes:
    return f"{PREFIX}.{key_id}.{bound_to}".encode()


def _ring() -> Mapping[str, AESGCM]:
    return _parsed(settings.LIGHTFIELD_ENCRYPTION_KEYS)


@functools.lru_cache(maxsize=4)  # settings do not change in a process; tests bring a few of their own
def _parsed(listing: str) -> Mapping[str, AESGCM]:
    ring: dict[str, AESGCM] = {}
    for entry in filter(None, (part.strip() for part in listing.split(","))):
        key_id, _, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not KEY_ID.fullmatch(key_id) or len(key) != KEY_BYTES or key_id in ring:
            raise InvalidSetting(VARIABLE, "a list of id:base64 of 32 random bytes, each id once")
        ring[key_id] = AESGCM(key)
    if not ring:
        raise InvalidSetting(VARIABLE, "set: id:base64 of 32 random bytes")
    return ring
