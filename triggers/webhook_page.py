"""What the page of a webhook's trigger knows: its address, how its requests are signed, its secrets, how to set senders up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from lightfield.access.keyring import UnreadableSecret
from lightfield.kernel.errors import RequestRefused
from triggers import services, webhook_secrets
from triggers.kinds.webhook import Webhook
from triggers.models import Trigger
from triggers.signatures import PRESETS, TOLERANCE_SECONDS
from triggers.webhook_secrets import Made
from workflows.models import WorkflowStatus

ADDRESS: Final = (
    "triggers.change_trigger"  # to see the address and what tells its secrets apart, and to change them
)
GRACES: Final = [
    (3600, "1 hour"),
    (24 * 3600, "1 day"),
    (7 * 24 * 3600, "7 days"),
    (30 * 24 * 3600, "30 days"),
    (0, "not at all: it has leaked"),
]


class NewSecretForm(forms.Form):
    """`secret` is never filled in again, also when it is refused."""

    secret = forms.CharField(
        label="The sender's secret",
        required=False,
        strip=False,
        max_length=255,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off", "placeholder": "empty: make one"}),
        help_text="Leave it empty to make one for a sender that takes ours.",
    )
    grace = forms.TypedChoiceField(
        label="The one before stays valid for",
        choices=GRACES,
        coerce=int,
        initial=24 * 3600,
        widget=UnfoldAdminSelectWidget,
    )


class RotationForm(forms.Form):
    previous = forms.TypedChoiceField(
        label="The old address stays valid for",
        choices=GRACES,
        coerce=int,
        initial=24 * 3600,
        widget=UnfoldAdminSelectWidget,
    )


@dataclass(frozen=True)
class Address:
    """The full URL, or why there is none to see."""

    url: str = ""
    flaw: str = ""


def context_of(request: HttpRequest, trigger: Trigger) -> dict[str, Any]:
    """For the template: two queries. Of address and secrets nothing without the right to change them."""
    draft = trigger.workflow.draft.get("trigger") or {}
    if Webhook.name not in (trigger.kind, draft.get("type")):
        return {}
    may_change = request.user.has_perm(ADDRESS)
    preset = webhook_secrets.signing_of(trigger)
    is_final = trigger.workflow.status == WorkflowStatus.ARCHIVED
    found: dict[str, Any] = {
        "is_webhook": True,
        "preset": preset,
        "is_signed": bool(trigger.signing),
        "is_published_webhook": trigger.kind == Webhook.name,
        "tolerance_minutes": TOLERANCE_SECONDS // 60,
        "presets": [preset] if preset else PRESETS,
        "may_change": may_change,
    }
    if not may_change:
        return found
    return {
        **found,
        "address": _address(request, trigger),
        "previous_until": _still(trigger.previous_token_until),
        "secrets": list(webhook_secrets.live(trigger.pk, preset.name)) if preset else [],
        "secret_form": NewSecretForm() if preset and not is_final else None,
        "rotation_form": None if is_final else RotationForm(),
    }


def add_secret(request: HttpRequest, trigger: Trigger) -> Made | None:
    """A secret that was made, to be shown. None: the person brought it, or it was refused, and was told so."""
    form = NewSecretForm(request.POST)
    if not form.is_valid():
        messages.error(
            request, "Not added: use at most 255 characters, and one of the times that are offered."
        )
        return None
    secret = form.cleaned_data["secret"] or None
    try:
        made = webhook_secrets.add(
            workflow_id=trigger.workflow_id,
            secret=secret,
            ends_previous_in=form.cleaned_data["grace"],
            by=request.user.get_username(),
        )
    except RequestRefused as refusal:
        messages.error(request, f"{refusal.message} {refusal.entry.remedy}")
        return None
    if secret is None:
        return made
    messages.success(request, f"The secret …{made.row.last4} verifies from now on.")
    return None


def end_secret(request: HttpRequest, trigger: Trigger, secret_id: UUID) -> None:
    try:
        webhook_secrets.end(
            workflow_id=trigger.workflow_id, secret_id=secret_id, by=request.user.get_username()
        )
    except RequestRefused as refusal:
        messages.error(request, refusal.message)
        return
    messages.success(request, "The secret is ended. Requests signed with it are refused from now on.")


def rotate_address(request: HttpRequest, trigger: Trigger) -> None:
    form = RotationForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose one of the times that are offered.")
        return
    try:
        services.rotate_token(
            workflow_id=trigger.workflow_id,
            by=request.user.get_username(),
            previous_valid_for_seconds=form.cleaned_data["previous"],
        )
    except RequestRefused as refusal:
        messages.error(request, f"{refusal.message} {refusal.entry.remedy}")
        return
    messages.success(request, "The workflow has a new webhook address.")


def _still(until: datetime | None) -> datetime | None:
    return until if until is not None and until > timezone.now() else None


def _address(request: HttpRequest, trigger: Trigger) -> Address:
    try:
        return Address(url=request.build_absolute_uri(services.webhook_path(trigger)))
    except UnreadableSecret as error:
        return Address(flaw=f"{error.message} {error.entry.remedy} Or give the workflow a new address.")
