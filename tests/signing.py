"""Senders for tests: they sign as their documentation says, written apart from what verifies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

from tests.factories import BY, a_workflow
from triggers import webhook_secrets
from triggers.signatures import PRESETS_BY_NAME
from workflows import services
from workflows.models import Workflow

KEY = bytes(range(32))
SECRETS = {
    "standard": "whsec_" + base64.b64encode(KEY).decode(),
    "svix": "whsec_" + base64.b64encode(KEY).decode(),
    "stripe": "whsec_stripe0123456789",
    "calendly": "calendly signing key",
    "github": "It's a Secret to Everybody",
    "typeform": "typeform secret text",
}
OTHERS = {name: f"{secret[:-9]}{secret[-9:][::-1]}" for name, secret in SECRETS.items()} | dict.fromkeys(
    ("standard", "svix"), "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
)
Headers = dict[str, str]


def signed(
    name: str, body: bytes, *, secret: str | None = None, at: float | None = None, id: str = "msg_1"
) -> Headers:
    """The headers of a request that the sender `name` signs with its secret at this Unix time, by default now."""
    return _SENDERS[name](body, secret or SECRETS[name], int(time.time() if at is None else at), id)


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _standard(brand: str) -> Callable[[bytes, str, int, str], Headers]:
    def sign(body: bytes, secret: str, at: int, id: str) -> Headers:
        mac = _mac(base64.b64decode(secret.removeprefix("whsec_")), f"{id}.{at}.".encode() + body)
        return {
            f"{brand}-id": id,
            f"{brand}-timestamp": str(at),
            f"{brand}-signature": f"v1,{base64.b64encode(mac).decode()}",
        }

    return sign


def _stripe(header: str) -> Callable[[bytes, str, int, str], Headers]:
    def sign(body: bytes, secret: str, at: int, id: str) -> Headers:
        return {header: f"t={at},v1={_mac(secret.encode(), f'{at}.'.encode() + body).hex()},v0=00"}

    return sign


def _github(body: bytes, secret: str, at: int, id: str) -> Headers:
    return {
        "x-hub-signature-256": f"sha256={_mac(secret.encode(), body).hex()}",
        "x-github-delivery": id,
    }


def _typeform(body: bytes, secret: str, at: int, id: str) -> Headers:
    return {"typeform-signature": f"sha256={base64.b64encode(_mac(secret.encode(), body)).decode()}"}


_SENDERS: dict[str, Callable[[bytes, str, int, str], Headers]] = {
    "standard": _standard("webhook"),
    "svix": _standard("svix"),
    "stripe": _stripe("stripe-signature"),
    "calendly": _stripe("calendly-webhook-signature"),
    "github": _github,
    "typeform": _typeform,
}


def a_signed_workflow(preset: str = "standard", /, *, secret: str | None = None, **parts: Any) -> Workflow:
    """Published, with a webhook that is signed by that preset and one secret."""
    config = {"signature": PRESETS_BY_NAME[preset].config}
    workflow = a_workflow(trigger={"type": "webhook", "config": config}, **parts)
    webhook_secrets.add(workflow_id=workflow.pk, secret=secret or SECRETS[preset], by=BY)
    services.publish(workflow_id=workflow.pk, by=BY)
    workflow.refresh_from_db()
    return workflow
