"""Why a record trigger did not fire: noted after the commit, without a statement of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from crm.models import Opportunity
from tests.capturing import told, watching
from triggers.decisions import Verdict, notebook
from triggers.decisions.noted import Note
from triggers.models import Trigger
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)


class Pad:
    """A notebook that only records."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def write(self, note: Note) -> None:
        self.notes.append(note)

    def flush(self) -> bool:
        return True

    def of(self, workflow: Workflow) -> list[tuple[Verdict, str, Any, int]]:
        trigger = Trigger.objects.get(workflow=workflow)
        return [
            (one.verdict, one.subject, one.detail, one.count)
            for one in self.notes
            if one.trigger_id == trigger.pk
        ]


@pytest.fixture
def pad() -> Iterator[Pad]:
    pad = Pad()
    before = notebook.use(pad)
    yield pad
    notebook.use(before)


@pytest.fixture
def deal() -> Opportunity:
    return Opportunity.objects.create(name="Deal", stage="new")


def save(deal: Opportunity, **values: Any) -> None:
    for name, value in values.items():
        setattr(deal, name, value)
    deal.save()


def test_a_change_of_other_fields_is_told_with_both_lists(pad: Pad, deal: Opportunity) -> None:
    workflow = watching("opportunity", "updated", "stage", "amount")
    save(deal, pipeline="p")
    detail = {"source": "record", "changed": ["pipeline"], "watched": ["amount", "stage"]}
    assert pad.of(workflow) == [(Verdict.UNCHANGED, f"opportunity {deal.pk}", detail, 1)]


def test_of_two_triggers_only_the_one_that_did_not_fire_is_told(pad: Pad, deal: Opportunity) -> None:
    fires, stays = watching("opportunity", "updated", "stage"), watching("opportunity", "updated", "amount")
    save(deal, stage="won")
    assert len(told()) == 1
    assert pad.of(fires) == []
    assert [verdict for verdict, *_ in pad.of(stays)] == [Verdict.UNCHANGED]


def test_a_paused_workflow_is_told_for_what_it_would_have_fired_on(pad: Pad, deal: Opportunity) -> None:
    updated, created = watching("opportunity", "updated", "stage"), watching("opportunity", "created")
    for workflow in (updated, created):
        services.pause(workflow_id=workflow.pk, by="x")
    save(deal, pipeline="p")
    save(deal, stage="won")
    other = Opportunity.objects.create(name="Other")
    assert told() == []
    assert pad.of(updated) == [(Verdict.PAUSED, f"opportunity {deal.pk}", {"source": "record"}, 1)]
    assert pad.of(created) == [(Verdict.PAUSED, f"opportunity {other.pk}", {"source": "record"}, 1)]


def test_many_at_once_are_one_note_with_a_count(pad: Pad, deal: Opportunity) -> None:
    Opportunity.objects.create(name="Other", stage="won")
    workflow = watching("opportunity", "updated", "stage")
    Opportunity.objects.update(pipeline="p")
    Opportunity.objects.update(stage="won")
    assert len(told()) == 1
    assert [(verdict, subject, count) for verdict, subject, _, count in pad.of(workflow)] == [
        (Verdict.UNCHANGED, "2 × opportunity", 2),
        (Verdict.UNCHANGED, "1 × opportunity", 1),
    ]


def test_what_is_rolled_back_was_no_decision(pad: Pad, deal: Opportunity) -> None:
    workflow = watching("opportunity", "updated", "stage")
    with transaction.atomic():
        save(deal, pipeline="p")
        transaction.set_rollback(True)
    assert pad.of(workflow) == []
