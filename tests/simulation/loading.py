"""Puts the rows of simulated worlds into the real tables, so that `verify` can judge them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.db import models, transaction

from executions.models import Attempt, Effect, Run, StepRun, TimelineEntry
from lightfield.kernel import sql
from tests.simulation import flows
from tests.simulation.tables import Tables
from triggers.models import OutboxEvent, Trigger
from workflows.definitions import checksum, dump
from workflows.models import Workflow, WorkflowVersion

AT_ONCE = 2000


def load_flows() -> None:
    """The workflows that all worlds share, once."""
    with transaction.atomic():
        for flow in flows.flows():
            document = dump(flows.parsed(flow.name))
            document["trigger"]["config"] |= {"own_changes": flow.own_changes}
            workflow = Workflow.objects.create(id=flow.id, name=flow.name, draft=document)
            version = WorkflowVersion.objects.create(
                id=flow.version_id,
                workflow=workflow,
                number=flow.version_number,
                definition=document,
                plan=flow.plan,
                concurrency=flow.concurrency,
                timeout_seconds=flow.timeout_seconds,
                checksum=checksum(document),
            )
            Workflow.objects.filter(pk=flow.id).update(active_version=version, status=flow.status)
            Trigger.objects.create(
                id=flow.trigger_id,
                workflow=workflow,
                kind=document["trigger"]["type"],
                config=document["trigger"]["config"],
                shard=flow.shard,
                token_hash=flow.id,
            )


def load(worlds: Iterable[Tables]) -> None:
    """All rows of these worlds. They had their own years; nothing in them is later than now."""
    worlds = list(worlds)
    with transaction.atomic():
        _insert(OutboxEvent, [_event(row) for world in worlds for row in world.events.values()])
        _insert(Run, [row for world in worlds for row in world.runs.values()])
        _insert(StepRun, [row for world in worlds for row in world.steps.values()])
        _insert(Attempt, [row for world in worlds for rows in world.attempts.values() for row in rows])
        _insert(Effect, [row for world in worlds for row in world.effects.values()])
        _insert(TimelineEntry, [row for world in worlds for rows in world.entries.values() for row in rows])


def _insert(model: type[models.Model], rows: Iterable[Any]) -> None:
    """With the instants as they are; a column that is None where JSON is kept becomes NULL."""
    made = [model(**(row if isinstance(row, dict) else asdict(row))) for row in rows]
    model._default_manager.bulk_create(made, batch_size=AT_ONCE)


def _event(event: Any) -> dict[str, Any]:
    return {**asdict(event), "payload": json.loads(event.payload)}


def empty() -> None:
    """Forget all rows of worlds, keep their workflows."""
    sql.rows(
        "TRUNCATE executions_notice, executions_agentturn, executions_timelineentry, executions_effect, executions_attempt, executions_steprun, "
        "executions_run, triggers_tick, triggers_outboxevent",
        {},
    )
