"""Triggers that the project itself has on a watched table, and cascades of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from tests.capturing import capturing, told, watching
from tests.watched_app.models import Branch, Everything, Invoice
from triggers.models import UncapturedWrite

pytestmark = pytest.mark.django_db(transaction=True)

RANKS_UP = "BEGIN NEW.rank := OLD.rank + 1; RETURN NEW; END"
PAYS = "BEGIN UPDATE watched_app_invoice SET state = 'paid'; RETURN NULL; END"


@pytest.fixture
def host(request: pytest.FixtureRequest, mode: str) -> Iterator[None]:
    when, body = request.param
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE FUNCTION host_acts() RETURNS trigger LANGUAGE plpgsql AS '{body.replace(chr(39), chr(39) * 2)}'"
        )
        cursor.execute(
            f"CREATE TRIGGER host_acts {when} UPDATE ON watched_app_branch FOR EACH ROW EXECUTE FUNCTION host_acts()"
        )
        yield
        cursor.execute("DROP FUNCTION host_acts() CASCADE")


@pytest.mark.parametrize("host", [("BEFORE", RANKS_UP)], indirect=True)
@pytest.mark.parametrize("way", ["save", "update_fields", "update"])
def test_a_field_that_a_trigger_writes_is_seen_whatever_the_save_wrote(host: None, way: str) -> None:
    watching("branch", "updated", "rank")
    branch = Branch.objects.create()

    branch.state = "closed"
    if way == "update":
        Branch.objects.update(state="closed")
    else:
        branch.save(update_fields=["state"] if way == "update_fields" else None)

    assert told() == [{"state": ("open", "closed"), "rank": (0, 1)}]


@pytest.mark.parametrize("host", [("AFTER", PAYS)], indirect=True)
def test_what_a_trigger_writes_into_another_table_is_captured_or_noted(host: None, mode: str) -> None:
    watching("invoice", "updated")
    Invoice.objects.create(number="1")
    branch = Branch.objects.create()

    branch.state = "closed"
    branch.save()

    is_captured = told() == [{"state": ("new", "paid")}]
    is_noted = UncapturedWrite.objects.filter(entity="invoice", operation="UPDATE", rows=1).exists()
    assert (is_captured, is_noted) == ((False, True) if mode == "orm" else (True, False))


def test_a_cascade_that_has_loaded_its_rows_is_seen(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def to_null(collector: Any, field: Any, rows: Any, using: str) -> None:
        collector.add_field_update(field, None, list(rows))

    monkeypatch.setattr(Branch._meta.get_field("parent").remote_field, "on_delete", to_null)
    watching("branch", "updated", "parent")
    trunk = Branch.objects.create()
    Branch.objects.create(parent=trunk)
    key = trunk.pk

    trunk.delete()

    assert told() == [{"parent": (key, None)}]


def test_a_paused_trigger_is_told_once_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = watching("invoice", "created")
    type(workflow).objects.filter(pk=workflow.pk).update(status="paused")
    noted: list[Any] = []
    monkeypatch.setattr("triggers.records.capture.note_on_commit", lambda **note: noted.append(note))

    with capturing("orm"):
        Invoice.objects.bulk_create([Invoice(number=str(number)) for number in range(300)])

    assert [(note["subject"], note["count"]) for note in noted] == [("300 × invoice", 300)]


def test_a_column_that_a_migration_took_keeps_nobody_from_writing() -> None:
    """Until `post_migrate` the database's function is that of the old columns; the next migration may fill new ones."""
    with capturing("trigger"):
        watching("branch", "updated", "state")
        Branch.objects.create()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE watched_app_branch DROP COLUMN rank")
            cursor.execute("UPDATE watched_app_branch SET state = 'closed'")
            seen = told()
            transaction.set_rollback(True)

    assert seen == [{"state": ("open", "closed")}]


@pytest.mark.usefixtures("mode")
def test_nobody_puts_the_functions_on_a_table_of_his_own() -> None:
    """They run with our rights and would tell events of whatever table they are on; a trigger there is asks nobody."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), bool_or(has_function_privilege('public', tgfoid, 'execute')) FROM pg_trigger "
            "WHERE starts_with(tgname, 'lightfield_')"
        )
        number, may_anybody = cursor.fetchone()

    assert number > 0
    assert not may_anybody


def upsert(**values: Any) -> None:
    Everything.objects.bulk_create(
        [Everything(**values)], update_conflicts=True, update_fields=["text"], unique_fields=["whole", "line"]
    )


@pytest.mark.usefixtures("mode")
def test_an_upsert_knows_what_it_changed_where_nulls_are_equal_or_a_trigger_makes_values_equal() -> None:
    watching("everything", "created")
    watching("everything", "updated")
    with connection.cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX alike ON watched_app_everything (whole, line) NULLS NOT DISTINCT")
        cursor.execute(
            "CREATE FUNCTION host_lowers() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.line := lower(NEW.line); RETURN NEW; END'"
        )
        cursor.execute(
            "CREATE TRIGGER host_lowers BEFORE INSERT ON watched_app_everything FOR EACH ROW EXECUTE FUNCTION host_lowers()"
        )
        try:
            for line in (None, "a"):
                upsert(whole=1, line=line, text="before")
            for line in (None, "A"):
                upsert(whole=1, line=line, text="after")
        finally:
            cursor.execute("DROP FUNCTION host_lowers() CASCADE")
            cursor.execute("DROP INDEX alike")

    assert told() == ["created", "created", {"text": ("before", "after")}, {"text": ("before", "after")}]
