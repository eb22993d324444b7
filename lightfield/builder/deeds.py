"""What a person does to a workflow by one button: publish, pause, resume, archive, rotate its address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest

from lightfield.builder import drafts
from lightfield.kernel.errors import LostRace, RequestRefused
from triggers import services as trigger_services
from workflows import services

PUBLISH: Final = "workflows.publish_workflow"
EDIT: Final = "workflows.change_workflow"
CREATE: Final = "workflows.add_workflow"
RUN: Final = "workflows.run_workflow"
ADDRESS: Final = "triggers.change_trigger"  # to see the webhook address and to change it
EVENTS: Final = "triggers.view_outboxevent"
RUNS: Final = "executions.view_run"
DELIVERIES: Final = "triggers.view_delivery"


@dataclass(frozen=True)
class Deed:
    """`question`: what has to be confirmed on a page of its own, or nothing."""

    name: str
    label: str
    permission: str
    act: Callable[..., Any]
    done: str
    question: str = ""
    consequence: str = ""


DEEDS: Final = (
    Deed("publish", "Publish", PUBLISH, services.publish, ""),
    Deed(
        "pause",
        "Pause",
        PUBLISH,
        services.pause,
        "Paused. New events are refused; what was accepted goes on.",
    ),
    Deed("resume", "Resume", PUBLISH, services.resume, "Active again."),
    Deed(
        "archive",
        "Archive",
        PUBLISH,
        services.archive,
        "Archived.",
        "Archive this workflow for good?",
        "It takes no new events, events that still wait are ignored, and it can never be published again. "
        "Runs that go on are finished, and the history stays.",
    ),
    Deed(
        "rotate",
        "New address",
        ADDRESS,
        trigger_services.rotate_token,
        "The workflow has a new webhook address.",
        "Give this workflow a new webhook address?",
        "The old address answers 404 from that moment on: every sender has to be given the new one.",
    ),
)


def perform(request: HttpRequest, deed: Deed, workflow_id: UUID) -> bool:
    """Do it, and tell the person what came of it. True when it was done."""
    try:
        result = deed.act(workflow_id=workflow_id, by=request.user.get_username())
    except RequestRefused as error:
        messages.error(request, _refusal(deed, error))
        return False
    except LostRace:
        messages.error(request, "Somebody else changed the workflow at the same moment. Look again.")
        return False
    messages.success(request, deed.done or _published(*result))
    return True


def _published(version: Any, is_new: bool) -> str:
    if is_new:
        count = len(drafts.foreseen(version.definition))
        warned = f" {count} warning{'' if count == 1 else 's'} at the editor." if count else ""
        return f"Published as version {version.number}. New events run on it.{warned}"
    return f"Version {version.number} is active; the draft holds nothing new."


def _refusal(deed: Deed, error: RequestRefused) -> str:
    if deed.name == "publish" and error.problems:
        count = len(error.problems)
        return (
            f"Not published: {count} problem{'' if count == 1 else 's'} in the draft, listed at the editor."
        )
    return error.message
