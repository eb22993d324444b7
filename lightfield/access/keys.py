"""API keys: made once, shown once, found by their hash.

A key is `lf_` and 256 random bits in base64url, so a fast hash is enough to keep it: there is nothing to guess
from. The prefix is public and serves to recognise a key in lists and in the audit trail.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from lightfield.access import audit
from lightfield.access.models import ApiKey, Scope
from lightfield.kernel.errors import RequestRefused

KEY_FORMAT: Final = re.compile(r"lf_[A-Za-z0-9_-]{43}")
PREFIX_CHARS: Final = 11  # "lf_" and 48 of the 256 bits
USED_EVERY: Final = timedelta(minutes=1)  # how exact last_used_at is: a write per minute, not per request


@transaction.atomic
def create_key(
    *, name: str, scope: Scope = Scope.ADMIN, lifetime: timedelta | None = None, by: str
) -> tuple[ApiKey, str]:
    """Make a key. Returns its row and the key itself, which nobody can read again."""
    secret = f"lf_{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        name=name,
        scope=scope,
        prefix=secret[:PREFIX_CHARS],
        key_hash=_hash(secret),
        expires_at=None if lifetime is None else Now() + lifetime,
    )
    audit.record(
        actor=by, action="api_key.created", subject=key.pk, name=name, scope=scope, prefix=key.prefix
    )
    return key, secret


@transaction.atomic
def revoke_key(*, key: ApiKey, by: str) -> None:
    """End a key for good. The next request with it is refused; revoking it again changes nothing."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=Now()):
        audit.record(actor=by, action="api_key.revoked", subject=key.pk, name=key.name, prefix=key.prefix)


def find_key(secret: str) -> ApiKey:
    """The valid key behind what a caller sent; marks it as used.

    One query, and one write when the last one is a minute old. The database's clock decides both.

    Raises:
        RequestRefused: `auth.invalid`, or `auth.expired` when it was valid once.
    """
    if not KEY_FORMAT.fullmatch(secret):
        raise RequestRefused("auth.invalid")
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - USED_EVERY)
    over = Q(revoked_at__isnull=False) | Q(expires_at__isnull=False, expires_at__lte=Now())
    key = (
        ApiKey.objects.filter(key_hash=_hash(secret))
        .annotate(is_stale=_truth(stale), is_over=_truth(over))
        .first()
    )
    if key is None:
        raise RequestRefused("auth.invalid")
    if key.is_over:
        raise RequestRefused("auth.expired")
    if key.is_stale:
        # Two requests of one minute may both come here; the second one finds the row fresh.
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=Now())
    return key


def _truth(condition: Q) -> ExpressionWrapper:
    return ExpressionWrapper(condition, output_field=BooleanField())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
