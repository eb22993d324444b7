"""LIGHTFIELD_CAPTURE=trigger: the functions that capture are made for who asks, and tell what Django's writers would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from crm.models import Opportunity
from tests.capturing import capturing, payloads, told, watching
from tests.integration.test_who_asks import STALE
from triggers.models import OutboxEvent
from triggers.records import database

pytestmark = pytest.mark.django_db(transaction=True)

CAPTURES = (
    "SELECT tgfoid::regproc::text FROM pg_trigger WHERE tgrelid = 'crm_opportunity'::regclass AND tgname = %s"
)
Asked = tuple[str, ...]
FIELDS: tuple[tuple[Asked, ...], ...] = (
    (("stage",),),
    (("stage", "amount"),),
    (("no_longer_there",),),
    (("no_longer_there", "stage"),),
    (("updated_at",),),
    ((),),
    (("stage",), ("stage",)),
    (("stage",), ("amount", "name")),
    (("stage",), ()),
    (("pipeline",), ("no_longer_there",), ("stage", "custom")),
)
# What is written, and which fields that really changes.
CHANGES: tuple[tuple[dict[str, Any], set[str]], ...] = (
    ({"stage": "won"}, {"stage"}),
    ({"amount": 2}, {"amount"}),
    ({"amount": "1.00"}, set()),  # another spelling of the same number
    ({"name": "Other", "pipeline": "second"}, {"name", "pipeline"}),
    (
        {"stage": "won", "amount": 2, "custom": {"a": [1, None]}, "name": "Other"},
        {"stage", "amount", "custom", "name"},
    ),
    ({"stage": "won", "amount": "1.00"}, {"stage"}),
    ({"stage": "Open"}, {"stage"}),
    ({"stage": ""}, {"stage"}),
    ({"custom": {}}, set()),
    ({"account_id": None, "last_interaction_at": "2026-01-01T00:00:00Z"}, {"last_interaction_at"}),
)


@pytest.fixture(params=["orm", "trigger"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    with capturing(request.param):
        yield request.param


@pytest.fixture
def database_captures() -> Iterator[None]:
    with capturing("trigger"):
        yield
        assert database.differences() == []


def run(statement: str, *params: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        return cursor.fetchone() if cursor.description else None


def ask_for(fields: Asked) -> int:
    """The trigger's key. Fields that a later release took away stay in the rows."""
    trigger = watching("opportunity", "updated", "stage").trigger
    trigger.config = {**trigger.config, "fields": list(fields)}
    trigger.save()
    return int(trigger.pk)


@pytest.mark.parametrize("fields", FIELDS, ids=json.dumps)
def test_whoever_asks_is_told_and_nobody_else_in_both_modes(mode: str, fields: tuple[Asked, ...]) -> None:
    asking = {ask_for(names): set(names) for names in fields}
    for changes, changed in CHANGES:
        OutboxEvent.objects.all().delete()
        deal = Opportunity.objects.create(name="A deal", stage="open", amount=1)
        Opportunity.objects.filter(pk=deal.pk).update(**changes)

        heard = [pk for pk, names in asking.items() if changed and (not names or names & changed)]
        events = OutboxEvent.objects.order_by("trigger_id")
        assert [event.trigger_id for event in events] == sorted(heard), changes
        for event in events:
            assert set(event.payload["_diff"]) == changed
            assert event.payload == events[0].payload
            assert event.trace_id == min(events, key=lambda one: one.id).id.hex
            assert event.shard == event.trigger.shard
            assert (event.workflow_id, event.version_id) == (
                event.trigger.workflow_id,
                event.trigger.workflow.active_version_id,
            )


@pytest.mark.parametrize("fields", [("stage",), ()], ids=["stage", "any"])
def test_what_is_told_of_a_change_is_the_same_in_both_modes(fields: Asked) -> None:
    seen = []
    for each in ("orm", "trigger"):
        with capturing(each):
            ask_for(fields)
            deal = Opportunity.objects.create(name="A deal", stage="open", amount=1)
            for changes, _ in CHANGES:
                Opportunity.objects.filter(pk=deal.pk).update(**changes)
            seen.append([payload["_diff"] for payload in payloads()])
            OutboxEvent.objects.all().delete()
            run("UPDATE workflows_workflow SET status = 'archived'")

    assert seen[0] == seen[1]
    assert len(seen[0]) >= 3


@pytest.mark.usefixtures("database_captures")
def test_given_a_column_that_is_gone_then_who_asked_for_another_is_told_and_nobody_else() -> None:
    """A migration took it, and the one that follows writes already."""
    ask_for(("stage",))
    deal = Opportunity.objects.create(name="A deal", stage="open", amount=1)
    run("ALTER TABLE crm_opportunity RENAME COLUMN pipeline TO pipeline_before")
    try:
        run("UPDATE crm_opportunity SET amount = 2")
        assert told() == []
        run("UPDATE crm_opportunity SET stage = 'won', amount = 3")
    finally:
        run("ALTER TABLE crm_opportunity RENAME COLUMN pipeline_before TO pipeline")

    assert told() == [{"stage": ("open", "won"), "amount": (2, 3)}]
    assert payloads()[0]["id"] == str(deal.pk)


@pytest.mark.usefixtures("database_captures")
def test_given_the_very_column_that_was_asked_for_is_gone_then_other_changes_do_not_fire() -> None:
    ask_for(("stage",))
    Opportunity.objects.create(name="A deal", stage="open", amount=1)
    run("ALTER TABLE crm_opportunity RENAME COLUMN stage TO stage_before")
    try:
        run("UPDATE crm_opportunity SET amount = 2, stage_before = 'won'")
    finally:
        run("ALTER TABLE crm_opportunity RENAME COLUMN stage_before TO stage")
    run("UPDATE crm_opportunity SET stage = 'lost'")

    assert told() == [{"stage": ("won", "lost")}]


@pytest.mark.usefixtures("database_captures")
@pytest.mark.parametrize("event", ["updated", "created"])
def test_given_a_function_of_another_release_then_verify_tells_and_migrate_mends_it(event: str) -> None:
    watching("opportunity", event)
    (name,) = run(CAPTURES, "lightfield_capture" + ("_new" if event == "created" else ""))
    run(f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    assert database.differences() == [STALE]

    database.arrange()

    deal = Opportunity.objects.create(name="A deal")
    Opportunity.objects.filter(pk=deal.pk).update(stage="won")
    assert len(told()) == 1
    owned = "SELECT prosecdef AND proconfig::text LIKE '%%search_path%%' FROM pg_proc WHERE oid = %s::regproc"
    assert run(owned, name) == (True,)


@pytest.mark.usefixtures("database_captures")
def test_given_a_release_that_was_not_migrated_to_then_verify_tells() -> None:
    run("DROP FUNCTION lightfield_compile_captures()")

    assert database.differences() == [STALE]
    database.arrange()


@pytest.mark.usefixtures("database_captures")
def test_nobody_else_s_functions_are_made_anew_by_a_publication() -> None:
    """Every session would read them again."""
    accounts = (
        "SELECT xmin::text FROM pg_proc WHERE oid = (SELECT tgfoid FROM pg_trigger"
        " WHERE tgrelid = 'crm_account'::regclass AND tgname = 'lightfield_capture')"
    )
    watching("account", "updated")
    before = run(accounts)

    watching("opportunity", "updated", "stage")

    assert run(accounts) == before
