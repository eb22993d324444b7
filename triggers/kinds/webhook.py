"""Started by an HTTP POST to the workflow's own, secret address."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from lightfield.kernel.errors import Problem
from triggers.kinds.base import JsonObject, TriggerConfig, TriggerKind, register

SUPPORTED_SCHEMES = ("none",)


class Signature(TriggerConfig):
    scheme: Literal["none", "standard", "stripe", "github"] = "none"


class WebhookConfig(TriggerConfig):
    signature: Signature = Field(default_factory=Signature, description="How senders prove who they are.")
    sample: JsonValue = Field(None, description="A body for people to look at while they write steps.")


@register
class Webhook(TriggerKind):
    """Fires on every accepted POST to `/hooks/<token>`; see `triggers.views` for the answers.

    Config: see `WebhookConfig`. Only the scheme `none` can be published until signatures are verified: an
    address that looks protected and is not would be worse than one that plainly is not.

    Output: the JSON body itself.
    """

    name = "webhook"
    summary = "An HTTP POST to the workflow's own address"
    Config = WebhookConfig

    def unstorable(self, config: JsonObject) -> list[Problem]:
        """A secret belongs into encrypted storage, which signed webhooks will bring; never into a definition."""
        signature = config.get("signature")
        if not isinstance(signature, dict) or "secret" not in signature:
            return []
        detail = "Secrets cannot be stored yet: signed webhooks are not part of this release."
        return [Problem("/signature/secret", "config.unsupported_signature", detail)]

    def unpublishable(self, config: JsonObject) -> list[Problem]:
        signature = config.get("signature")
        scheme = signature.get("scheme") if isinstance(signature, dict) else None
        if scheme is None or scheme in SUPPORTED_SCHEMES:
            return []
        detail = f"The scheme {scheme!r} comes with signed webhooks; this release verifies no signatures."
        return [Problem("/signature/scheme", "config.unsupported_signature", detail)]
