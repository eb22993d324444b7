"""A step type whose runs lead to events of other workflows, by the cause that the engine sets around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from executions.models import Run
from lightfield.kernel import bells
from lightfield.kernel.ids import uuid7
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow, an_event
from tests.scripted import ScriptedFast, installed
from triggers import causes, outbox
from triggers.models import OutboxEvent, Trigger
from workflows.models import Workflow
from workflows.step_types import Completed


def append(workflow: Workflow) -> OutboxEvent:
    """An event of this workflow, as whoever records changes appends it: for the run that acts now."""
    cause = causes.current()
    with transaction.atomic():
        captured = outbox.append_event(
            trigger=Trigger.objects.get(workflow=workflow),
            source="record",
            payload={},
            idempotency_key=None,
            trace_id=cause.trace_id if cause else uuid7().hex,
            depth=cause.depth + 1 if cause else 0,
            caused_by=cause.run_id if cause else None,
        )
    return OutboxEvent.objects.get(pk=captured.event_id)


@contextmanager
def starting_others() -> Iterator[ScriptedFast]:
    """Installs `start`: `{"starts": ["B", "C"]}` appends an event for each workflow of these names."""

    def script(config: Any, context: Any) -> Completed:
        for name in config.model_extra["starts"]:
            append(Workflow.objects.get(name=name))
        return Completed({})

    with installed("start", ScriptedFast) as step_type:
        step_type.script = script
        yield step_type


def a_starter(name: str, *names: str) -> Workflow:
    """A workflow whose one step starts those of these names."""
    return a_published_workflow(
        name=name, steps=[{"key": "go", "type": "start", "config": {"starts": list(names)}}]
    )


def play(bellboy: Bellboy, workflow: Workflow, **columns: Any) -> Run:
    """Run it and all that it leads to."""
    event = an_event(workflow, **columns)
    bells.ring_dispatch(event.shard)
    bellboy.answer_all()
    return Run.objects.get(event=event)
