"""Workflows that write what they watch, or what another one watches, stop at their guard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import F

from crm.models import Contact, Opportunity
from executions.models import Run
from lightfield.kernel import bells
from lightfield.kernel.ids import uuid7
from tests.bellboy import Bellboy
from tests.capturing import capturing, watching
from tests.scripted import ScriptedFast, installed
from triggers.models import OutboxEvent
from workflows.step_types import Completed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "writing")]

DEEPEST = 8  # LIGHTFIELD_MAX_DEPTH


@pytest.fixture(params=["orm", "trigger"])
def writing(request: pytest.FixtureRequest, settings: Any) -> Iterator[None]:
    """A step type `write`, which raises the amount of all opportunities or the title of all contacts."""
    settings.LIGHTFIELD_MAX_DEPTH = DEEPEST

    def script(config: Any, _: Any) -> Completed:
        if config.model_extra["entity"] == "opportunity":
            Opportunity.objects.update(amount=F("amount") + 1)
        else:
            for contact in Contact.objects.all():
                contact.title = uuid7().hex
                contact.save()
        return Completed({})

    with capturing(request.param), installed("write", ScriptedFast) as step_type:
        step_type.script = script
        yield


def writes(entity: str) -> list[dict[str, Any]]:
    return [{"key": "write", "type": "write", "config": {"entity": entity}}]


def ring_out(bellboy: Bellboy) -> None:
    """Answer bells until nobody rings; what the database captured by itself, the sweep finds."""
    for _ in range(4 * DEEPEST):
        for shard in set(OutboxEvent.objects.filter(status="pending").values_list("shard", flat=True)):
            bells.ring_dispatch(shard)
        bellboy.answer_all()
    assert not OutboxEvent.objects.filter(status="pending").exists()


def fates() -> list[tuple[int, str, str | None]]:
    """(depth, status, code) of every event, in the order of depth."""
    return list(OutboxEvent.objects.order_by("depth").values_list("depth", "status", "error_code"))


def test_a_workflow_that_updates_the_record_it_watches_runs_once(bellboy: Bellboy) -> None:
    Opportunity.objects.create(name="Deal", amount=1)
    watching("opportunity", "updated", "amount", steps=writes("opportunity"))

    Opportunity.objects.update(amount=5)
    ring_out(bellboy)

    assert fates() == [(0, "dispatched", None), (1, "ignored", "trigger.own_change")]
    run = Run.objects.get()
    own = OutboxEvent.objects.get(depth=1)
    assert own.caused_by == run.pk
    assert own.trace_id == run.trace_id


def test_if_it_wants_its_own_changes_it_ends_at_the_depth(bellboy: Bellboy) -> None:
    Opportunity.objects.create(name="Deal", amount=1)
    watching("opportunity", "updated", "amount", steps=writes("opportunity"), config={"own_changes": True})

    Opportunity.objects.update(amount=5)
    ring_out(bellboy)

    assert fates() == [
        *[(depth, "dispatched", None) for depth in range(DEEPEST + 1)],
        (DEEPEST + 1, "ignored", "run.depth_exceeded"),
    ]


def test_two_workflows_that_trigger_each_other_end_at_the_depth(bellboy: Bellboy) -> None:
    Opportunity.objects.create(name="Deal", amount=1)
    Contact.objects.create(last_name="Lovelace")
    watching("opportunity", "updated", "amount", steps=writes("contact"), name="Ping")
    watching("contact", "updated", "title", steps=writes("opportunity"), name="Pong")

    Opportunity.objects.update(amount=5)
    ring_out(bellboy)

    assert fates() == [
        *[(depth, "dispatched", None) for depth in range(DEEPEST + 1)],
        (DEEPEST + 1, "ignored", "run.depth_exceeded"),
    ]
    assert OutboxEvent.objects.values("trace_id").distinct().count() == 1
    assert Run.objects.count() == DEEPEST + 1
