"""Workflows and events for tests, made the way the product makes them."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from triggers.models import OutboxEvent, Trigger
from workflows import step_types
from workflows.models import Workflow, WorkflowStatus, WorkflowVersion

LOG_STEP = {"key": "say", "type": "log", "config": {"message": "hello"}}


def a_definition(**parts: Any) -> dict[str, Any]:
    """A valid definition: a webhook and one log step, unless `parts` say otherwise."""
    trigger = {"type": "webhook", "config": {"signature": {"scheme": "none"}}}
    return {"schema": 1, "name": "A workflow", "trigger": trigger, "steps": [LOG_STEP], **parts}


def a_workflow(**parts: Any) -> Workflow:
    """A draft, never published."""
    definition = a_definition(**parts)
    workflow = Workflow.objects.create(name=definition["name"], draft=definition)
    Trigger.objects.create(
        workflow=workflow, shard=workflow.id.int % 16, token_hash=secrets.token_hex(32), token_ciphertext="-"
    )
    return workflow


def a_published_workflow(**parts: Any) -> Workflow:
    """An active workflow with version 1. `steps=[{"key": …, "type": …, "config": {…}}, …]` as in a definition."""
    workflow = a_workflow(**parts)
    definition = workflow.draft
    plan = []
    for step in definition["steps"]:
        step_type = step_types.find(step["type"])
        plan.append(
            {
                "key": step["key"],
                "type": step["type"],
                "lane": step_type.lane if step_type else "fast",
                "max_attempts": step.get("retry", {}).get("max_attempts", 5),
            }
        )
    workflow.active_version = WorkflowVersion.objects.create(
        workflow=workflow,
        number=1,
        definition=definition,
        plan=plan,
        concurrency=definition.get("settings", {}).get("concurrency"),
        timeout_seconds=definition.get("settings", {}).get("timeout_seconds", 86_400),
        checksum=hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest(),
    )
    workflow.status = WorkflowStatus.ACTIVE
    workflow.save()
    kind = definition["trigger"]["type"]
    Trigger.objects.filter(workflow=workflow).update(kind=kind, config=definition["trigger"]["config"])
    return workflow


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
