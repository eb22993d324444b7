"""Started by an HTTP POST to the workflow's own, secret address."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, JsonValue

from lightfield.kernel.errors import Problem
from triggers.kinds.base import JsonObject, TriggerConfig, TriggerKind, register
from triggers.signatures import PRESETS, preset_of
from workflows import shapes

WRITE_ONLY = ("secret", "secrets")  # a secret that is set; how secrets are shown, when a client sends it back

SAMPLE = "sample"  # a body that somebody sent: what is in there is not ours to judge


class Signature(TriggerConfig):
    scheme: Literal["none", "standard", "stripe", "github"] = "none"
    preset: str = Field("", max_length=40, description="Whose header names: see GET /api/v1/webhook-presets.")


class WebhookConfig(TriggerConfig):
    signature: Signature = Field(
        default_factory=Signature,
        description="How senders prove who they are. A secret goes with it as signature.secret and is kept elsewhere.",
    )
    sample: JsonValue = Field(None, description="A body for people to look at while they write steps.")


@register
class Webhook(TriggerKind):
    """Fires on every accepted POST to `/hooks/<token>`; see `triggers.views` for the answers.

    Config: see `WebhookConfig`. `signature.secret` may be sent with a draft: it is kept elsewhere, encrypted
    (`triggers.webhook_secrets`), and never read back.

    Output: the JSON body itself.
    """

    name = "webhook"
    summary = "An HTTP POST to the workflow's own address"
    Config = WebhookConfig

    def unstorable(self, config: JsonObject) -> list[Problem]:
        """A secret that could not be kept as one: without a scheme nobody knows what it has to look like.

        Neither is it in another place, where nobody would take it out and everybody who sees the draft would see it.
        """
        signature = _signature_of(config)
        misplaced = secrets_in(
            {name: value for name, value in self.taken_out(config)[0].items() if name != SAMPLE}
        )
        if misplaced:
            detail = "A secret is set as signature.secret, together with a scheme, and nowhere else."
            return [Problem(pointer, "config.invalid_secret", detail) for pointer in misplaced]
        if "secret" not in signature:
            return []
        preset = preset_of(signature)
        if preset is None:
            flaw = "A secret goes with one of the schemes standard, stripe and github."
        elif not isinstance(signature["secret"], str):
            flaw = "The secret is text."
        else:
            flaw = preset.signing.flaw_of(signature["secret"])
        return [Problem("/signature/secret", "config.invalid_secret", flaw)] if flaw else []

    def taken_out(self, config: JsonObject) -> tuple[JsonObject, str | None]:
        signature = _signature_of(config)
        if not signature:
            return config, None
        kept = {name: value for name, value in signature.items() if name not in WRITE_ONLY}
        return {**config, "signature": kept}, signature.get("secret")

    def output_schema(self, config: JsonObject) -> shapes.Schema | None:
        """Like the sample, if there is one."""
        sample = config.get(SAMPLE)
        return None if sample is None else shapes.of_sample(sample)

    def unpublishable(self, config: JsonObject) -> list[Problem]:
        signature = _signature_of(config)
        if not signature.get("preset") or preset_of(signature):
            return []
        fitting = [one.name for one in PRESETS if one.scheme == signature.get("scheme")]
        detail = f"Expected one of: {', '.join(fitting)}." if fitting else "The scheme none has no presets."
        return [Problem("/signature/preset", "config.invalid", detail)]


def secrets_in(value: object, pointer: str = "") -> list[str]:
    """Pointers to what is called a secret in a config, or begins as one of a well-known sender does."""
    if isinstance(value, str):
        return [pointer] if value.strip().startswith("whsec_") else []
    if isinstance(value, list):
        return [found for place, item in enumerate(value) for found in secrets_in(item, f"{pointer}/{place}")]
    if not isinstance(value, dict):
        return []
    found = []
    for name, item in value.items():
        place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
        found += [place] if _is_called_secret(name) and item is not None else secrets_in(item, place)
    return found


def _is_called_secret(name: str) -> bool:
    return any(word in name.casefold() for word in ("secret", "signing_key", "signingkey"))


def _signature_of(config: JsonObject) -> dict[str, Any]:
    """As written; empty when there is none, or something else in its place, which is told elsewhere."""
    signature = config.get("signature")
    return signature if isinstance(signature, dict) else {}
