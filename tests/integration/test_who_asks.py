"""LIGHTFIELD_CAPTURE=trigger: who asks for which changes stands in the database as a constant, and is never a stale one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import NotSupportedError, connection, transaction
from django.test import override_settings

from crm.models import Opportunity
from tests.capturing import capturing, told, watching
from tests.concurrency import race, wait_until_blocked
from tests.factories import a_published_workflow
from triggers.models import OutboxEvent, Trigger
from triggers.records import database
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

COMPILED_AT = "SELECT xmin::text FROM pg_proc WHERE proname = 'lightfield_askers'"
STALE = "who asks for which changes was not compiled as it is published"


@pytest.fixture(autouse=True)
def _database_captures() -> Iterator[None]:
    with capturing("trigger"):
        yield
        assert database.differences() == []


def asking(entity: str = "opportunity", event: str = "updated") -> list[list[Any]] | None:
    """[trigger, shard, workflow, version, fields] of each."""
    (found,) = one_row("SELECT to_json(lightfield_askers(%s, %s))", entity, event)
    asked = json.loads(found) if isinstance(found, str) else found
    return None if asked is None else [[*one.values()] for one in asked]


def one_row(statement: str, *params: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        return cursor.fetchone() if cursor.description else None


def workflows_told() -> list[UUID]:
    return list(OutboxEvent.objects.order_by("id").values_list("workflow_id", flat=True))


def test_what_is_compiled_is_what_the_rows_say() -> None:
    assert asking() is None
    first = watching("opportunity", "updated", "stage", "amount")
    second = watching("opportunity", "updated")
    watching("account", "created")
    a_published_workflow()  # a webhook

    assert asking() == [
        [
            workflow.trigger.pk,
            workflow.trigger.shard,
            str(workflow.pk),
            workflow.active_version_id,
            fields,
        ]
        for workflow, fields in ((first, ["stage", "amount"]), (second, []))
    ]
    assert [one[4] for one in asking("account", "created") or []] == [[]]
    assert asking("account", "updated") is asking("contact", "created") is None


@pytest.mark.parametrize(
    ("leave", "come_back"), [(services.pause, services.resume), (services.archive, None)]
)
def test_a_workflow_that_takes_no_events_is_not_told(leave: Any, come_back: Any) -> None:
    workflow, deal = watching("opportunity", "updated", "stage"), Opportunity.objects.create(name="A deal")

    leave(workflow_id=workflow.pk, by="test")
    Opportunity.objects.filter(pk=deal.pk).update(stage="unheard")
    assert asking() is None
    if come_back is not None:
        come_back(workflow_id=workflow.pk, by="test")
        Opportunity.objects.filter(pk=deal.pk).update(stage="heard")

    assert told() == ([{"stage": ("unheard", "heard")}] if come_back else [])


def test_given_a_new_version_then_it_is_the_one_that_is_pinned() -> None:
    workflow, deal = watching("opportunity", "updated", "stage"), Opportunity.objects.create(name="A deal")
    config = {"entity": "opportunity", "event": "updated", "fields": ["amount"]}
    changes = {"trigger": {"type": "record", "config": config}}
    services.update_draft(workflow_id=workflow.pk, changes=changes, by="test")
    version, _ = services.publish(workflow_id=workflow.pk, by="test")

    Opportunity.objects.filter(pk=deal.pk).update(stage="no longer asked for")
    Opportunity.objects.filter(pk=deal.pk).update(amount=7)

    (event,) = OutboxEvent.objects.all()
    assert event.version_id == version.pk


def test_given_a_publication_that_is_rolled_back_then_nobody_ever_asked() -> None:
    def publish_in_vain() -> None:
        with transaction.atomic():
            watching("opportunity", "created")
            assert asking("opportunity", "created")
            raise LookupError

    with pytest.raises(LookupError):
        publish_in_vain()
    Opportunity.objects.create(name="A deal")

    assert asking("opportunity", "created") is None
    assert told() == []


def test_given_a_connection_that_saved_before_when_another_publishes_then_its_next_save_is_told() -> None:
    """What its functions were planned with is planned anew."""
    deal = Opportunity.objects.create(name="A deal")
    for number in range(8):  # more than PostgreSQL plans anew by itself
        Opportunity.objects.filter(pk=deal.pk).update(amount=number)

    (workflow,) = race(lambda: watching("opportunity", "updated", "stage"))
    Opportunity.objects.filter(pk=deal.pk).update(stage="heard")
    race(lambda: services.pause(workflow_id=workflow.pk, by="test"))
    Opportunity.objects.filter(pk=deal.pk).update(stage="paused")

    assert told() == [{"stage": (None, "heard")}]


def test_given_a_transaction_that_began_before_when_another_publishes_then_its_later_saves_are_told() -> None:
    deal = Opportunity.objects.create(name="A deal")
    with transaction.atomic():
        Opportunity.objects.filter(pk=deal.pk).update(amount=7)  # it knows the table and its functions
        race(lambda: watching("opportunity", "updated", "stage"))
        Opportunity.objects.filter(pk=deal.pk).update(stage="heard")

    assert told() == [{"stage": (None, "heard")}]


def test_given_two_publications_at_once_then_both_are_compiled() -> None:
    """The second looks only after the first has committed, whatever it saw before."""
    compiled, may_commit = threading.Event(), threading.Event()

    def first() -> Workflow:
        with transaction.atomic():
            workflow = watching("opportunity", "created")
            compiled.set()
            assert may_commit.wait(10)
        connection.close()
        return workflow

    def second() -> Workflow:
        assert compiled.wait(10)
        try:
            return watching("opportunity", "created")
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(first), pool.submit(second)]
        assert compiled.wait(10)
        wait_until_blocked()
        may_commit.set()
        workflows = {one.result().pk for one in both}
    Opportunity.objects.create(name="A deal")

    assert set(workflows_told()) == workflows


def test_given_eight_that_publish_and_pause_at_once_then_what_is_compiled_is_what_is_left() -> None:
    workflows = [watching("opportunity", "created") for _ in range(8)]

    def leave(workflow: Workflow) -> None:
        services.pause(workflow_id=workflow.pk, by="test")
        services.resume(workflow_id=workflow.pk, by="test")
        if workflow in workflows[::2]:
            services.archive(workflow_id=workflow.pk, by="test")

    assert race(*(lambda workflow=one: leave(workflow) for one in workflows)) == [None] * 8
    assert [one[2] for one in asking("opportunity", "created") or []] == [
        str(one.pk) for one in workflows[1::2]
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE workflows_workflow SET status = 'paused'",
        "UPDATE triggers_trigger SET config = '{}'",
        "UPDATE triggers_trigger SET kind = 'manual'",
        "TRUNCATE triggers_trigger CASCADE",
    ],
)
def test_given_rows_that_raw_sql_changes_then_that_is_compiled_too(statement: str) -> None:
    watching("opportunity", "created")

    one_row(statement)
    Opportunity.objects.create(name="A deal")

    assert asking("opportunity", "created") is None
    assert told() == []


def test_edits_of_drafts_and_other_workflows_compile_nothing() -> None:
    """A new function has every session plan anew."""
    workflow = watching("opportunity", "updated", "stage")
    before = one_row(COMPILED_AT)

    services.update_draft(workflow_id=workflow.pk, changes={"name": "Renamed"}, by="test")
    other = a_published_workflow()
    services.pause(workflow_id=other.pk, by="test")
    Trigger.objects.update(next_due_at=None)

    assert one_row(COMPILED_AT) == before


def test_given_a_transaction_that_does_not_see_what_others_commit_then_it_cannot_publish() -> None:
    """It would compile what it sees, and so forget who published since it began."""
    workflow = watching("opportunity", "created")

    def pause() -> None:
        with transaction.atomic():
            one_row("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            Workflow.objects.filter(pk=workflow.pk).update(status="paused")

    with pytest.raises(NotSupportedError, match="cannot be compiled"):
        pause()
    assert asking("opportunity", "created")


@pytest.mark.parametrize("name", ["it's", 'a "quoted" one', "back\\slash", "$lightfield$", "100%s"])
def test_names_that_sql_would_read_otherwise_are_compiled_as_they_are(name: str) -> None:
    trigger = watching("opportunity", "created").trigger
    trigger.config = {"entity": name, "event": "created", "fields": [name]}
    trigger.save()

    assert [one[4] for one in asking(name, "created") or []] == [[name]]


def test_given_what_was_compiled_otherwise_then_verify_tells_and_migrate_mends_it() -> None:
    watching("opportunity", "created")
    one_row(
        "CREATE OR REPLACE FUNCTION lightfield_askers(entity text, event text) RETURNS lightfield_asker[] LANGUAGE sql"
        " IMMUTABLE AS 'SELECT NULL::lightfield_asker[]'"
    )
    assert database.differences() == [STALE]

    database.arrange()

    assert database.differences() == []
    Opportunity.objects.create(name="A deal")
    assert told() == ["created"]


def test_given_a_publication_while_migrate_puts_the_triggers_there_then_it_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It committed before there was a trigger to compile it, and after `migrate` had looked at who asks."""
    with override_settings(LIGHTFIELD_CAPTURE="orm"):
        database.arrange()
    published: list[Workflow] = []
    put = database._put

    def publish_first(cursor: Any, wanted: database.Wanted) -> None:
        if not published:
            published.extend(race(lambda: watching("opportunity", "created")))
        put(cursor, wanted)

    monkeypatch.setattr(database, "_put", publish_first)
    database.arrange()

    assert [one[2] for one in asking("opportunity", "created") or []] == [str(published[0].pk)]


def test_given_the_other_mode_then_nothing_is_compiled() -> None:
    with capturing("orm"):
        watching("opportunity", "created")
        assert asking("opportunity", "created") is None
        assert one_row(
            "SELECT count(*) FROM pg_trigger WHERE starts_with(tgname, 'lightfield_who_asks')"
        ) == (0,)

    database.arrange()  # as a later migrate with this test's setting does

    assert asking("opportunity", "created")
