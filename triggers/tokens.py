"""Webhook tokens: 256 random bits in the path. Found by their hash, shown again from their ciphertext."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID

from lightfield.access import keyring

TOKEN_BYTES = 32  # 43 characters of base64url


@dataclass(frozen=True)
class Sealed:
    """What is stored of a token."""

    token_hash: str  # sha256, hex
    token_ciphertext: str


def new_token(workflow_id: UUID) -> Sealed:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return Sealed(hash_of(token), keyring.encrypt(token, bound_to=binding(workflow_id)))


def hash_of(token: str) -> str:
    """A plain hash suffices: a token of 256 random bits cannot be guessed from it."""
    return hashlib.sha256(token.encode()).hexdigest()


def shown(token_ciphertext: str, *, workflow_id: UUID) -> str:
    """The token itself. Raises `keyring.UnreadableSecret`."""
    return keyring.decrypt(token_ciphertext, bound_to=binding(workflow_id))


def binding(workflow_id: UUID) -> str:
    """What a token's ciphertext is bound to."""
    return f"trigger-token:{workflow_id}"
