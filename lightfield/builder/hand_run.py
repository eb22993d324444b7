"""Run by hand: the form with its payload and its key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.http import HttpRequest

from lightfield.builder.texts import PlacedProblem, Unreadable, normalised, read
from lightfield.kernel.errors import RequestRefused
from triggers import services
from triggers.deliveries import samples
from triggers.kinds import base as kinds
from triggers.kinds.webhook import Webhook
from workflows.models import Workflow


@dataclass(frozen=True)
class HandRun:
    """The form, or, once sent, the event it led to."""

    text: str
    key: str  # sent along: a second submit of the same form finds the first one's event
    problems: list[PlacedProblem]
    event_id: UUID | None = None
    is_duplicate: bool = False


def offered(workflow: Workflow) -> HandRun:
    """An empty form, or one with what the published trigger brings: the newest sample taken, else the author's own."""
    definition = workflow.active_version.definition if workflow.active_version else workflow.draft
    trigger = definition.get("trigger") or {}
    kind = kinds.find(trigger.get("type"))
    taken = samples.of_trigger(workflow.trigger) if trigger.get("type") == Webhook.name else None
    if taken and taken.payloads:
        sample = taken.payloads[0]["payload"]
    else:
        sample = kind.sample(trigger.get("config") or {}) if kind else None
    return HandRun(json.dumps({} if sample is None else sample, indent=2, ensure_ascii=False), _new_key(), [])


def submitted(request: HttpRequest, workflow: Workflow) -> HandRun:
    """Start it, or say what is wrong. Nothing typed is lost."""
    text = normalised(request.POST.get("payload", ""))
    key = request.POST.get("key") or _new_key()
    try:
        payload = read(text) if text.strip() else {}
    except Unreadable as error:
        return HandRun(text, key, [error.problem])
    return _started(workflow, text=text, payload=payload, key=key, by=request.user.get_username())


def _started(workflow: Workflow, *, text: str, payload: Any, key: str, by: str) -> HandRun:
    try:
        captured = services.run_by_hand(
            workflow_id=workflow.pk, payload=payload, idempotency_key=key, traceparent=None, by=by
        )
    except RequestRefused as error:
        detail = error.message
        if error.code == "idempotency.key_reused":
            # Back to the form after a run, and another payload: that is a new run, which has to be meant.
            key, detail = (
                _new_key(),
                "This form was sent before with another payload. Send it again to start another run.",
            )
        return HandRun(text, key, [PlacedProblem(0, 0, "", error.code, detail)])
    return HandRun(text, key, [], event_id=captured.event_id, is_duplicate=captured.is_duplicate)


def _new_key() -> str:
    return f"by-hand-{uuid4().hex}"
