"""Workflows that fail or complete as their payload says, and what is told of it."""

from __future__ import annotations

from typing import Any

from executions.models import Run
from executions.notices.models import NoticeMessage
from lightfield.kernel import bells, sql
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow, an_event
from tests.staging import say
from workflows.models import Workflow

NEEDS_FIELD = say(message="{{ trigger.field }}")
FINE, BROKEN = {"field": "here"}, {"other": 1}


def a_telling_workflow(
    url: str | None = None, *, email: list[str] | None = None, name: str = "A workflow", **settings: Any
) -> Workflow:
    """It fails on a payload without `field`, and tells whoever is named."""
    told: dict[str, Any] = {}
    if url:
        told["webhook"] = {"url": url}
    if email:
        told["email"] = email
    for option in ("every_seconds", "secret"):
        if option in settings:
            (told if option == "every_seconds" else told["webhook"])[option] = settings.pop(option)
    if told:
        settings["on_failure"] = told
    return a_published_workflow(name=name, steps=[NEEDS_FIELD, say("later")], settings=settings)


def runs_of(bellboy: Bellboy, workflow: Workflow, *payloads: dict[str, Any]) -> list[Run]:
    """A run for each payload, one after the other, moved on until it ended. No notice leaves by it."""
    found = []
    for payload in payloads:
        event = an_event(Workflow.objects.get(pk=workflow.pk), payload=payload)
        bells.ring_dispatch(event.shard)
        bellboy.answer_all(but=lambda bell: bell.task == "executions.send_notices")
        found.append(Run.objects.get(event=event))
    return found


def let_notices_be_due() -> None:
    """An hour later for everything that waits to be told, leases included."""
    sql.rows(
        "UPDATE executions_noticemessage SET due_at = due_at - interval '1 hour', "
        "lease_expires_at = lease_expires_at - interval '1 hour', created_at = created_at - interval '1 hour'",
        {},
    )


def statuses() -> list[tuple[str, str, str | None]]:
    """Of every message, in order: channel, status, code."""
    rows = NoticeMessage.objects.order_by("id")
    return [(row.channel, row.status, row.error_code) for row in rows]
