"""What reaches watched tables otherwise: other databases, migrations, threads, raw SQL, bulk changes of keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections, migrations, models, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.migrations.state import ModelState, ProjectState
from django.test import override_settings

from tests.capturing import capturing, told, watching
from tests.concurrency import race
from tests.watched_app.models import Branch, Country, Invoice, Reading
from triggers.models import OutboxEvent, UncapturedWrite
from triggers.records import database

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def watched() -> None:
    for event in ("created", "updated"):
        watching("invoice", event)


class Other(DatabaseWrapper):
    """What Django's test cases do not know."""

    def ensure_connection(self) -> None:
        if self.connection is None:
            self.connect()


@pytest.fixture
def other() -> Iterator[str]:
    """A second connection that Django takes for another database."""
    alias = "other"
    connections.databases[alias] = {**connection.settings_dict, "TEST": connection.settings_dict["TEST"]}
    connections[alias] = Other(connections.databases[alias], alias)
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.databases[alias]


def test_given_another_database_when_a_model_is_written_there_then_nothing_is_captured(
    watched: None, other: str
) -> None:
    """Its events could not be in the transaction of the change. The names of the tables say nothing."""
    invoice = Invoice(number="1")
    invoice.save(using=other)
    invoice.state = "paid"
    invoice.save()  # an instance stays in the database that it came from
    Invoice.objects.using(other).create(number="2")
    Invoice.objects.using(other).bulk_create([Invoice(number="3")])
    Invoice.objects.using(other).bulk_create([Invoice(number="4")], ignore_conflicts=True)
    Invoice.objects.using(other).update(state="gone")
    Invoice.objects.using(other).get_or_create(number="5")
    assert Invoice.objects.filter(state="gone").count() == 4
    assert told() == []


class ToOther:
    def db_for_write(self, model: Any, **_: Any) -> str | None:
        return "other" if model is Invoice else None


def test_given_a_router_that_sends_writes_elsewhere_then_nothing_is_captured(
    watched: None, other: str
) -> None:
    with override_settings(DATABASE_ROUTERS=[ToOther()]):
        Invoice.objects.create(number="1").save()
        Invoice.objects.update(state="paid")
    assert told() == []


def test_given_a_router_for_reading_when_a_model_is_written_then_it_is_captured(
    watched: None, other: str
) -> None:
    class Replica:
        def db_for_read(self, *_: Any, **__: Any) -> str:
            return "other"

    with override_settings(DATABASE_ROUTERS=[Replica()]):
        invoice = Invoice.objects.create(number="1")
        Invoice.objects.update(state="paid")
        Invoice.objects.filter(pk=invoice.pk).bulk_create(
            [Invoice(pk=invoice.pk, number="1", state="sent")],
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["state"],
        )
    assert told() == ["created", {"state": ("new", "paid")}, {"state": ("paid", "sent")}]


def historical() -> Any:
    """The model as a migration has it."""
    state = ProjectState()
    state.add_model(ModelState.from_model(Invoice))
    return state.apps.get_model("watched_app", "Invoice")


def test_given_a_migration_that_changes_data_when_django_captures_then_it_is_only_noted(
    watched: None, mode: str
) -> None:
    """Its models are not those that are watched; the database sees it all the same."""

    def forwards(apps: Any, editor: Any) -> None:
        old = apps.get_model("watched_app", "Invoice")
        old.objects.create(number="1")
        old.objects.update(state="paid")
        again = old.objects.get()
        again.state = "sent"
        again.save()

    invoice = historical()
    assert invoice is not Invoice
    state = ProjectState()
    state.add_model(ModelState.from_model(Invoice))
    with connection.schema_editor() as editor:
        migrations.RunPython(forwards).database_forwards("watched_app", editor, state, state)
    if mode == "orm":
        assert told() == []
        noted = UncapturedWrite.objects.values_list("entity", "operation", "rows")
        assert sorted(noted) == [("invoice", "INSERT", 1), ("invoice", "UPDATE", 1), ("invoice", "UPDATE", 1)]
    else:
        assert told() == ["created", {"state": ("new", "paid")}, {"state": ("paid", "sent")}]


def test_given_raw_sql_then_the_database_captures_it_or_it_is_noted(watched: None, mode: str) -> None:
    Invoice.objects.create(number="1")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE watched_app_invoice SET state = 'paid'")
        cursor.execute("UPDATE watched_app_invoice SET state = 'paid'")
        cursor.executemany(
            "INSERT INTO watched_app_invoice (number, state) VALUES (%s, 'new')", [("2",), ("3",)]
        )
        with cursor.copy("COPY watched_app_invoice (number, state) FROM STDIN") as copy:
            copy.write_row(("4", "new"))
    raw = ["created", {"state": ("new", "paid")}, "created", "created", "created"]
    assert told() == (raw[:1] if mode == "orm" else raw)
    assert UncapturedWrite.objects.exists() == (mode == "orm")


def test_given_many_threads_when_each_saves_then_each_change_is_told_once(watched: None, mode: str) -> None:
    invoices = [Invoice.objects.create(number=str(number)) for number in range(6)]
    OutboxEvent.objects.all().delete()

    def paid(invoice: Invoice) -> None:
        for state in ("sent", "paid"):
            invoice.state = state
            invoice.save()
        Invoice.objects.filter(pk=invoice.pk).update(state="booked")

    race(*[lambda invoice=invoice: paid(invoice) for invoice in invoices])
    changes = [{"state": pair} for pair in (("new", "sent"), ("sent", "paid"), ("paid", "booked"))]
    assert sorted(map(str, told())) == sorted(map(str, changes * 6))


def test_given_two_who_update_the_same_rows_then_one_of_them_wins_each(watched: None, mode: str) -> None:
    Invoice.objects.bulk_create([Invoice(number=str(number)) for number in range(20)])
    OutboxEvent.objects.all().delete()
    found = race(
        *[lambda name=name: Invoice.objects.filter(state="new").update(state=name) for name in "abcd"]
    )
    assert sum(int(str(one)) for one in found) == 20
    assert len(told()) == 20


def test_given_a_model_that_is_no_longer_watched_when_the_tables_are_arranged_then_nothing_is_left_on_it(
    mode: str,
) -> None:
    from triggers.records import watching as registry

    def on_tables() -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT tgrelid::regclass::text FROM pg_trigger WHERE starts_with(tgname, 'lightfield_') AND NOT tgisinternal"
            )
            return {name for (name,) in cursor.fetchall()}

    watches = [watch for model in (Branch, Reading) if (watch := registry.find(model))]
    for watch in watches:
        registry.forget(watch.model)
    try:
        database.arrange()
        left = on_tables()
    finally:
        for watch in watches:
            registry.add(watch)
        database.arrange()
    assert not {name for name in left if "branch" in name or "reading" in name}
    partition = {"watched_app_reading_low"} if mode == "trigger" else set()
    assert {"watched_app_reading"} | partition <= on_tables()


def test_given_an_installation_that_changes_its_mode_then_each_change_is_told_once() -> None:
    """Processes that still think that Django captures, beside triggers that are there already."""
    watching("invoice", "created")
    watching("invoice", "updated")
    with capturing("trigger"), override_settings(LIGHTFIELD_CAPTURE="orm"):
        invoice = Invoice.objects.create(number="1")
        invoice.state = "paid"
        invoice.save()
        Invoice.objects.update(state="sent")
        Invoice.objects.bulk_create([Invoice(number="2")], ignore_conflicts=True)
    assert told() == ["created", {"state": ("new", "paid")}, {"state": ("paid", "sent")}, "created"]


def test_given_keys_that_an_update_changes_then_it_is_the_same_record_under_its_new_key(mode: str) -> None:
    watching("country", "updated")
    Country.objects.create(code="DE", name="a")
    Country.objects.create(code="FR", name="b")
    assert Country.objects.filter(code="DE").update(code="AT", name="c") == 1
    Country.objects.filter(code="AT").update(code="CH")
    Country.objects.update(code=models.F("name"), name="d")
    events = OutboxEvent.objects.order_by("captured_at", "id").values_list("payload", flat=True)
    assert sorted((one["id"], one["_diff"]["name"]["after"]) for one in events) == [
        ("AT", "c"),
        ("b", "d"),
        ("c", "d"),
    ]


def test_given_a_savepoint_that_is_rolled_back_then_nothing_of_it_is_told(watched: None, mode: str) -> None:
    with transaction.atomic():
        invoice = Invoice.objects.create(number="1")
        point = transaction.savepoint()
        invoice.state = "paid"
        invoice.save()
        Invoice.objects.update(number="2")
        transaction.savepoint_rollback(point)
    assert told() == ["created"]
