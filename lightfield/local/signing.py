"""How a sender signs a webhook by the Standard Webhooks, with the standard library only: for `bin/demo`.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, version 1.0.0.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time

PREFIX = "whsec_"


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signed(body: bytes, *, secret: str, id: str) -> dict[str, str]:
    """The headers of one message, `id` being the same whenever it is sent; names with underscores, as `Api.post` takes them."""
    at = str(int(time.time()))
    key = base64.b64decode(secret.removeprefix(PREFIX))
    mac = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook_id": id,
        "webhook_timestamp": at,
        "webhook_signature": f"v1,{base64.b64encode(mac).decode()}",
    }
