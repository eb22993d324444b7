"""Senders that people use: how each signs, what it sends, and what to click there.

A preset is a scheme with its options. One with the scheme's own name is what `{"scheme": …}` alone means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from triggers.signatures.github import GitHub
from triggers.signatures.scheme import Scheme
from triggers.signatures.standard import Standard
from triggers.signatures.stripe import Stripe


@dataclass(frozen=True)
class Preset:
    """`steps`: what a person does at the sender and here, in order."""

    name: str
    label: str
    signing: Scheme
    sample: Any
    steps: tuple[str, ...]

    @property
    def scheme(self) -> str:
        return self.signing.name

    @property
    def config(self) -> dict[str, str]:
        """`signature` in a trigger's config."""
        return (
            {"scheme": self.scheme}
            if self.name == self.scheme
            else {"scheme": self.scheme, "preset": self.name}
        )


PUBLISH: Final = "Publish the workflow, then send a test event and look at why it did (not) fire."

PRESETS: Final = (
    Preset(
        "standard",
        "Standard Webhooks",
        Standard(),
        {"type": "contact.created", "timestamp": "2026-11-03T20:26:10.344522Z", "data": {"id": "1f81eb52"}},
        (
            "Make a secret here, or take the one that the sender shows; it begins with whsec_.",
            "Give the sender this workflow's webhook address, and the secret if it was made here.",
            PUBLISH,
        ),
    ),
    Preset(
        "svix",
        "Svix (Clerk, Resend and others)",
        Standard(brand="svix"),
        {"type": "user.created", "object": "event", "data": {"id": "user_29w83sxmDNGwOuEthce5gg56FcC"}},
        (
            "Add an endpoint with this workflow's webhook address in the sender's webhook settings.",
            "Copy its signing secret, which begins with whsec_, and store it here.",
            PUBLISH,
        ),
    ),
    Preset(
        "stripe",
        "Stripe",
        Stripe(),
        {
            "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",
            "object": "event",
            "type": "checkout.session.completed",
            "created": 1686089970,
            "data": {"object": {"id": "cs_test_a1", "customer_details": {"email": "ada@example.com"}}},
        },
        (
            "In Stripe's dashboard open Developers, Webhooks, and add an endpoint with this workflow's webhook address.",
            "Choose the events to send.",
            "Reveal the endpoint's signing secret, which begins with whsec_, and store it here; not an API key.",
            PUBLISH,
        ),
    ),
    Preset(
        "calendly",
        "Calendly",
        Stripe(header="calendly-webhook-signature", id_field="", secret_prefix=""),
        {
            "event": "invitee.created",
            "created_at": "2026-11-03T20:26:10.000000Z",
            "payload": {"name": "Ada Lovelace", "email": "ada@example.com", "timezone": "Europe/London"},
        },
        (
            "Make a secret here.",
            "Create a webhook subscription by Calendly's API, with this workflow's webhook address as url "
            "and the secret as signing_key.",
            PUBLISH,
        ),
    ),
    Preset(
        "github",
        "GitHub",
        GitHub(),
        {
            "action": "opened",
            "issue": {"number": 1, "title": "It does not start"},
            "repository": {"full_name": "octocat/hello-world"},
            "sender": {"login": "octocat"},
        },
        (
            "Make a secret here.",
            "In the repository's or organisation's settings open Webhooks and add one with this workflow's webhook address.",
            "Choose the content type application/json, and paste the secret.",
            PUBLISH,
        ),
    ),
    Preset(
        "typeform",
        "Typeform",
        GitHub(header="typeform-signature", encoding="base64", delivery_header="", id_field="event_id"),
        {
            "event_id": "01HEXAMPLE5N8T5N0BQ0V3XK6Y",
            "event_type": "form_response",
            "form_response": {"form_id": "lT4Z3j", "answers": [{"type": "email", "email": "ada@example.com"}]},
        },
        (
            "Make a secret here.",
            "In the form open Connect, Webhooks, and add one with this workflow's webhook address.",
            "Edit it, paste the secret, and switch it on.",
            PUBLISH,
        ),
    ),
)  # fmt: skip

PRESETS_BY_NAME: Final = {preset.name: preset for preset in PRESETS}
