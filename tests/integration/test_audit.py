"""The audit trail: complete, in the deed's own transaction, never changed."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from lightfield.access import audit
from lightfield.access.models import AuditEntry
from tests.factories import a_published_workflow, a_workflow
from triggers import services as triggers
from workflows import services as workflows

pytestmark = pytest.mark.django_db(transaction=True)


def actions_on(workflow) -> list[tuple[str, str]]:
    entries = AuditEntry.objects.filter(subject=str(workflow.pk)).order_by("id")
    return [(entry.actor, entry.action) for entry in entries]


def test_every_deed_on_a_workflow_is_told_in_order_with_its_actor():
    workflow = a_workflow()
    workflows.update_draft(workflow_id=workflow.pk, changes={"name": "New"}, by="ann")
    workflows.publish(workflow_id=workflow.pk, by="ben")
    workflows.publish(workflow_id=workflow.pk, by="nobody: nothing changes")
    workflows.pause(workflow_id=workflow.pk, by="cem")
    workflows.resume(workflow_id=workflow.pk, by="dan")
    triggers.rotate_token(workflow_id=workflow.pk, by="eve")
    triggers.run_by_hand(workflow_id=workflow.pk, payload=1, idempotency_key=None, traceparent=None, by="fay")
    workflows.archive(workflow_id=workflow.pk, by="gus")

    assert actions_on(workflow) == [
        ("a tester", "workflow.created"),
        ("ann", "workflow.edited"),
        ("ben", "workflow.published"),
        ("cem", "workflow.paused"),
        ("dan", "workflow.resumed"),
        ("eve", "trigger.token_rotated"),
        ("fay", "workflow.run_by_hand"),
        ("gus", "workflow.archived"),
    ]


def test_a_refused_deed_leaves_no_entry():
    workflow = a_published_workflow()
    before = actions_on(workflow)

    with pytest.raises(Exception, match="illegal_transition"):
        workflows.resume(workflow_id=workflow.pk, by="ann")

    assert actions_on(workflow) == before


def test_an_entry_outside_a_transaction_is_refused():
    with pytest.raises(RuntimeError):
        audit.record(actor="ann", action="x.done", subject="1")
    assert not AuditEntry.objects.exists()


def test_given_a_deed_that_is_rolled_back_then_its_entry_is_too():
    with transaction.atomic():
        audit.record(actor="ann", action="x.done", subject="1")
        transaction.set_rollback(True)

    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    "statement", ["UPDATE access_auditentry SET actor = 'mallory'", "DELETE FROM access_auditentry"]
)
def test_the_database_refuses_to_change_an_entry(statement):
    a_workflow()

    with pytest.raises(DatabaseError, match="never changed"), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEntry.objects.get().actor == "a tester"
