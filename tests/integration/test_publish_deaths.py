"""A process that dies while it publishes or archives: the deed is whole, or it never was, and doing it again does it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from crm.models import Opportunity
from executions.models import Run
from executions.verifying import running
from lightfield.access.models import AuditEntry
from tests.bellboy import Bellboy
from tests.capturing import watching
from tests.concurrency import wait_until_alone
from tests.dying import BEFORE_COMMIT, Mortals, mortals
from tests.factories import BY
from triggers.models import OutboxEvent, Trigger
from workflows import services
from workflows.models import Workflow, WorkflowVersion

pytestmark = pytest.mark.django_db(transaction=True)

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def mortal(django_db_setup: None) -> Iterator[Mortals]:
    with mortals(str(connection.settings_dict["NAME"])) as found:
        yield found


@pytest.fixture
def workflow() -> Workflow:
    """Version 1 watches the stage; the draft, when it is published, the amount."""
    found = watching("opportunity", "updated", "stage")
    config = {"entity": "opportunity", "event": "updated", "fields": ["amount"]}
    changes = {"trigger": {"type": "record", "config": config}}
    services.update_draft(workflow_id=found.pk, changes=changes, by=BY)
    return found


def everything() -> list[Any]:
    """All that publishing and archiving write."""
    return [
        list(model.objects.order_by("pk").values())
        for model in (Workflow, WorkflowVersion, Trigger, AuditEntry)
    ]


def broken() -> dict[str, list[str]]:
    return {finding.invariant.name: finding.ids for finding in running.verify() if finding.broken}


def change(**fields: Any) -> None:
    for name, value in fields.items():
        Opportunity.objects.update(**{name: value})


def asked_for() -> list[list[str]]:
    """Which fields each event's version names, in the order of the events."""
    found = OutboxEvent.objects.order_by("captured_at").select_related("version")
    return [event.version.definition["trigger"]["config"]["fields"] for event in found]


@pytest.mark.parametrize("point", ["CP-P1", BEFORE_COMMIT])
def test_given_a_death_while_publishing_then_the_old_version_is_whole_and_doing_it_again_makes_the_new_one(
    mortal: Mortals, workflow: Workflow, bellboy: Bellboy, point: str
) -> None:
    Opportunity.objects.create(name="A deal", stage="new", amount=1)
    before = everything()

    assert mortal.do("publish", workflow.pk, point=point) == KILLED
    wait_until_alone()

    assert everything() == before
    change(stage="won", amount=2)
    assert asked_for() == [["stage"]]

    assert mortal.do("publish", workflow.pk, point="nowhere") == 0
    change(stage="lost", amount=3)
    assert asked_for() == [["stage"], ["amount"]]
    assert list(WorkflowVersion.objects.values_list("number", flat=True)) == [2, 1]
    bellboy.answer_all()
    assert set(Run.objects.values_list("version__number", "status")) == {(1, "completed"), (2, "completed")}
    assert broken() == {}


@pytest.mark.parametrize("point", ["CP-P2", BEFORE_COMMIT])
def test_given_a_death_while_archiving_then_the_workflow_goes_on_and_doing_it_again_ends_it(
    mortal: Mortals, workflow: Workflow, bellboy: Bellboy, point: str
) -> None:
    Opportunity.objects.create(name="A deal", stage="new")
    before = everything()

    assert mortal.do("archive", workflow.pk, point=point) == KILLED
    wait_until_alone()

    assert everything() == before
    change(stage="won")
    bellboy.answer_all()
    assert list(Run.objects.values_list("status", flat=True)) == ["completed"]

    change(stage="waits when the workflow is archived")
    assert mortal.do("archive", workflow.pk, point="nowhere") == 0
    change(stage="never")
    bellboy.answer_all()
    statuses = OutboxEvent.objects.order_by("captured_at").values_list("status", "error_code")
    assert list(statuses) == [("dispatched", None), ("ignored", "workflow.archived")]
    assert broken() == {}


def test_what_is_archived_cannot_be_archived_again(mortal: Mortals, workflow: Workflow) -> None:
    """Whoever repeats it because no answer came is told."""
    assert [mortal.do("archive", workflow.pk, point="nowhere") for _ in range(2)] == [0, 70]
    assert Workflow.objects.get().status == "archived"
