"""Workflows and events for tests, made the way the product makes them."""

from __future__ import annotations

import secrets
from typing import Any

from triggers.models import OutboxEvent, Trigger
from workflows import services
from workflows.models import Workflow, WorkflowVersion

LOG_STEP = {"key": "say", "type": "log", "config": {"message": "hello"}}
WEBHOOK = {"type": "webhook", "config": {"signature": {"scheme": "none"}}}
BY = "a tester"


def a_definition(**parts: Any) -> dict[str, Any]:
    """A valid definition: a webhook and one log step, unless `parts` say otherwise."""
    return {"schema": 1, "name": "A workflow", "trigger": WEBHOOK, "steps": [LOG_STEP], **parts}


def a_workflow(**parts: Any) -> Workflow:
    """A draft, never published."""
    return services.create_workflow(definition=a_definition(**parts), by=BY)


def a_published_workflow(**parts: Any) -> Workflow:
    """An active workflow with version 1. `steps=[{"key": …, "type": …, "config": {…}}, …]` as in a definition."""
    workflow = a_workflow(**parts)
    services.publish(workflow_id=workflow.pk, by=BY)
    workflow.refresh_from_db()
    return workflow


def on_shards_of_their_own(*workflows: Workflow) -> None:
    """Or one in sixteen tests has two on the same: a dispatch for one then takes the events of the other along."""
    for shard, workflow in enumerate(workflows):
        Trigger.objects.filter(workflow=workflow).update(shard=shard)


def active_version_of(workflow: Workflow) -> WorkflowVersion:
    """The version that a published workflow runs now."""
    version = Workflow.objects.get(pk=workflow.pk).active_version
    assert version is not None
    return version


def an_event(workflow: Workflow, **columns: Any) -> OutboxEvent:
    """A pending event of a published workflow, as captured. `columns` of the row may be given."""
    trigger = Trigger.objects.get(workflow=workflow)
    return OutboxEvent.objects.create(
        **{
            "trigger": trigger,
            "workflow": workflow,
            "version": workflow.active_version,
            "source": trigger.kind,
            "payload": {},
            "shard": trigger.shard,
            "trace_id": secrets.token_hex(16),
            **columns,
        }
    )
