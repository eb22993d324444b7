"""How Stripe signs a webhook, with the standard library only: for `bin/demo`.

Source: docs.stripe.com/webhooks, "Verify webhook signatures manually".
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

PREFIX = "whsec_"


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def signed(body: bytes, *, secret: str) -> dict[str, str]:
    """The header of one delivery; its name with underscores, as `Api.post` takes them."""
    at = str(int(time.time()))
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"stripe_signature": f"t={at},v1={mac}"}
