"""For tests of record capture: a workflow that watches, the two modes, and what was captured so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.test import override_settings

from tests.factories import a_published_workflow
from triggers.models import OutboxEvent
from triggers.records import database
from workflows.models import Workflow


def watching(entity: str, event: str, *fields: str, **parts: Any) -> Workflow:
    """An active workflow with a record trigger."""
    config = {"entity": entity, "event": event, **({"fields": list(fields)} if fields else {})}
    config |= parts.pop("config", {})
    return a_published_workflow(trigger={"type": "record", "config": config}, **parts)


@contextmanager
def capturing(mode: str) -> Iterator[None]:
    """`orm` or `trigger`, with the tables as `migrate` would leave them; afterwards as they were."""
    with override_settings(LIGHTFIELD_CAPTURE=mode):
        database.arrange()
        try:
            yield
        finally:
            with override_settings(LIGHTFIELD_CAPTURE="orm"):
                database.arrange()


def payloads() -> list[Any]:
    """What was captured, in its order."""
    return list(
        OutboxEvent.objects.filter(source="record")
        .order_by("captured_at", "id")
        .values_list("payload", flat=True)
    )


def told() -> list[Any]:
    """`"created"`, or for an update its diff as {field: (before, after)}; in the order of capture."""
    return [
        {name: (one["before"], one["after"]) for name, one in payload["_diff"].items()}
        if "_diff" in payload
        else "created"
        for payload in payloads()
    ]
