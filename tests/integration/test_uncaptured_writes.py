"""What passes Django by: noted by the database, kept small, told by `verify`, and forgotten by a person."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import connection, router, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models.signals import post_save

from crm.models import Contact, Opportunity
from executions import tasks
from executions.verifying import running
from lightfield.access.models import AuditEntry
from lightfield.kernel.ids import uuid7
from tests.capturing import capturing, payloads, told, watching
from tests.concurrency import race
from triggers.models import UncapturedWrite
from triggers.records import database, uncaptured

pytestmark = pytest.mark.django_db(transaction=True)

COPIED = "crm_contact (id, first_name, custom, do_not_contact, created_at, updated_at)"


@pytest.fixture(autouse=True)
def deals() -> list[Opportunity]:
    return [Opportunity.objects.create(name=f"Deal {number}", stage="new") for number in range(3)]


def execute(statement: str, params: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def copied() -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {COPIED} FROM STDIN") as copy:
        for name in ("Ada", "Grace"):
            copy.write_row((uuid7(), name, "{}", False, "2026-01-01Z", "2026-01-01Z"))


def executed_many() -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE crm_opportunity SET stage = %s WHERE name = %s", [("a", "Deal 0"), ("b", "Deal 1")]
        )


def in_a_function() -> None:
    execute(
        "CREATE OR REPLACE FUNCTION pg_temp.move() RETURNS void LANGUAGE sql AS $$ UPDATE crm_opportunity SET stage = 'x' $$"
    )
    execute("SELECT pg_temp.move()")


def in_a_block() -> None:
    execute("DO $$ BEGIN UPDATE crm_opportunity SET stage = 'x' WHERE name = 'Deal 0'; END $$")


def merged() -> None:
    execute(
        "MERGE INTO crm_opportunity o USING (VALUES ('Deal 0')) n (name) ON o.name = n.name "
        "WHEN MATCHED THEN UPDATE SET stage = 'x'"
    )


def by_a_migration() -> None:
    """What `RunPython` works with: models as they were, which nobody watches."""
    executor = MigrationExecutor(connection)
    then = executor.loader.project_state().apps.get_model("crm", "Opportunity")
    then.objects.update(stage="migrated")


def by_psql_beside_us() -> None:
    """What is written before in the same transaction, and seen, does not hide it."""
    with transaction.atomic():
        Opportunity.objects.update(stage="seen")
        execute("UPDATE crm_opportunity SET stage = 'unseen' WHERE name = 'Deal 2'")
        Opportunity.objects.update(stage="seen again")


# What is done: entity, operation, rows of each statement.
NOTED: dict[str, tuple[Callable[[], Any], list[tuple[str, str, int]]]] = {
    "UPDATE": (
        lambda: execute("UPDATE crm_opportunity SET stage = 'x'"),
        [("opportunity", "UPDATE", 3)],
    ),
    "UPDATE that changes nothing": (
        lambda: execute("UPDATE crm_opportunity SET stage = stage"),
        [("opportunity", "UPDATE", 3)],
    ),
    "INSERT": (
        lambda: execute(
            "INSERT INTO crm_opportunity (id, name, custom, created_at, updated_at) "
            "SELECT uuid_v7(), 'n', '{}', now(), now() FROM generate_series(1, 5)"
        ),
        [("opportunity", "INSERT", 5)],
    ),
    "COPY": (copied, [("contact", "INSERT", 2)]),
    "many": (executed_many, [("opportunity", "UPDATE", 1)] * 2),
    "MERGE": (merged, [("opportunity", "UPDATE", 1)]),
    "in a function": (in_a_function, [("opportunity", "UPDATE", 3)]),
    "in a block": (in_a_block, [("opportunity", "UPDATE", 1)]),
    "by a migration": (by_a_migration, [("opportunity", "UPDATE", 3)]),
    "between writes of ours": (by_psql_beside_us, [("opportunity", "UPDATE", 1)]),
}


def rolled_back() -> None:
    with transaction.atomic():
        execute("UPDATE crm_opportunity SET stage = 'x'")
        transaction.set_rollback(True)


def to_a_savepoint() -> None:
    with transaction.atomic():
        point = transaction.savepoint()
        execute("UPDATE crm_opportunity SET stage = 'x'")
        transaction.savepoint_rollback(point)


def loaded() -> None:
    text = serializers.serialize("json", Opportunity.objects.all()).replace('"new"', '"old"')
    for one in serializers.deserialize("json", text):
        one.save()
    assert Opportunity.objects.filter(stage="old").count() == 3


def deleted_raw() -> None:
    """Nobody can watch for deletions."""
    rows = Opportunity.objects.all()
    rows._raw_delete(router.db_for_write(Opportunity))


NOT_NOTED: dict[str, Callable[[], Any]] = {
    "rolled back": rolled_back,
    "rolled back to a savepoint": to_a_savepoint,
    "of no row": lambda: execute("UPDATE crm_opportunity SET stage = 'x' WHERE name = 'nobody'"),
    "loaddata": loaded,
    "_raw_delete": deleted_raw,
    "DELETE": lambda: execute("DELETE FROM crm_opportunity"),
    "TRUNCATE": lambda: execute("TRUNCATE crm_opportunity CASCADE"),
    "a table that nobody watches": lambda: execute("UPDATE executions_lane SET width = width"),
    "a statement with parameters that look like ours": lambda: Opportunity.objects.filter(
        name="/*lightfield:seen*/"
    ).update(stage="x"),
}


def notes() -> list[tuple[str, str, int]]:
    return list(UncapturedWrite.objects.order_by("pk").values_list("entity", "operation", "rows"))


@pytest.mark.parametrize("way", NOTED)
def test_what_passes_django_by_is_noted_with_its_rows(way: str) -> None:
    watching("opportunity", "updated", "stage")
    do, expected = NOTED[way]
    do()

    assert notes() == expected
    ours = 6 if way == "between writes of ours" else 0
    assert len(told()) == ours


@pytest.mark.parametrize("way", NOT_NOTED)
def test_what_changed_no_watched_record_for_good_is_not_noted(way: str) -> None:
    NOT_NOTED[way]()

    assert notes() == []


def test_a_mark_in_the_middle_of_a_statement_hides_nothing() -> None:
    """Somebody's own SQL is not taken for ours because it holds the words; only the end counts."""
    execute("UPDATE crm_opportunity SET stage = ' /*lightfield:seen*/'")

    assert notes() == [("opportunity", "UPDATE", 3)]


@pytest.mark.parametrize("way", [way for way in NOTED if way != "between writes of ours"])
def test_with_the_database_capturing_it_is_captured_and_nothing_is_noted(way: str) -> None:
    do, expected = NOTED[way]
    watching("opportunity", "created")
    watching("opportunity", "updated", "stage")
    watching("contact", "created")
    with capturing("trigger"):
        do()

    rows = sum(rows for _, _, rows in expected)
    assert len(told()) == (0 if way == "UPDATE that changes nothing" else rows)
    assert notes() == []


def test_a_receiver_that_writes_raw_sql_in_the_middle_of_a_save_is_noted(deals: list[Opportunity]) -> None:
    """The mark is on our own statement, not on whatever is said meanwhile."""

    def receive(**_: Any) -> None:
        execute("UPDATE crm_contact SET title = 'x'")

    Contact.objects.create(first_name="Ada")
    post_save.connect(receive, sender=Opportunity)
    try:
        deals[0].save()
    finally:
        post_save.disconnect(receive, sender=Opportunity)

    assert notes() == [("contact", "UPDATE", 1)]


# --- kept small -----------------------------------------------------------------------------------


def note(number: int, entity: str = "opportunity", operation: str = "UPDATE", rows: int = 2) -> None:
    UncapturedWrite.objects.bulk_create(
        [UncapturedWrite(entity=entity, operation=operation, rows=rows) for _ in range(number)]
    )


def test_given_few_notes_when_swept_then_each_stays() -> None:
    note(uncaptured.MOST_NOTES)

    assert not uncaptured.fold()
    assert UncapturedWrite.objects.count() == uncaptured.MOST_NOTES


def test_given_many_notes_when_swept_then_one_of_each_kind_holds_them_all() -> None:
    note(uncaptured.MOST_NOTES)
    note(3, operation="INSERT")
    note(2, entity="contact", rows=5)
    before = uncaptured.told()

    tasks.sweep.apply()

    assert UncapturedWrite.objects.count() == 3
    assert uncaptured.told() == before
    assert [(one.entity, one.operation, one.rows, one.statements) for one in before] == [
        ("contact", "UPDATE", 10, 2),
        ("opportunity", "INSERT", 6, 3),
        ("opportunity", "UPDATE", 2 * uncaptured.MOST_NOTES, uncaptured.MOST_NOTES),
    ]
    note(1)
    assert uncaptured.told()[2].first_at == before[2].first_at
    assert uncaptured.told()[2].last_at > before[2].last_at


def test_given_folds_and_writers_and_one_who_forgets_at_once_then_each_row_is_counted_once() -> None:
    note(uncaptured.MOST_NOTES + 1, rows=1)

    def write() -> int:
        for _ in range(20):
            execute("UPDATE crm_opportunity SET stage = 'x' WHERE name = 'Deal 0'")
        return 20

    def forget() -> int:
        return sum(one.rows for one in uncaptured.forget(by="somebody"))

    done = race(*[uncaptured.fold] * 4, write, write, forget)

    assert all(isinstance(one, bool) for one in done[:4])
    left = sum(one.rows for one in uncaptured.told())
    assert left + done[-1] == uncaptured.MOST_NOTES + 1 + 40


def test_given_somebody_who_folds_when_swept_then_nobody_waits_for_him() -> None:
    note(uncaptured.MOST_NOTES + 1)

    def sweep_meanwhile() -> bool:
        (folded,) = race(uncaptured.fold)
        assert isinstance(folded, bool)
        return folded

    with transaction.atomic():
        assert uncaptured.fold()
        assert not sweep_meanwhile()
    assert UncapturedWrite.objects.count() == 1


# --- told and forgotten ---------------------------------------------------------------------------


def said(command: str, *args: str) -> str:
    out = StringIO()
    call_command(command, *args, stdout=out)
    return out.getvalue()


def verified(*args: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("verify", *args, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_verify_names_what_passed_by_since_when_and_what_to_do_about_it() -> None:
    execute("UPDATE crm_opportunity SET stage = 'x'")
    since = uncaptured.told()[0].first_at.isoformat(" ", "seconds")

    code, text = verified()

    assert code == 1
    assert f"opportunity: 3 rows by UPDATE in 1 statement, from {since} to" in text
    assert "LIGHTFIELD_CAPTURE=trigger" in text
    assert "bin/manage uncaptured --forget" in text
    (finding,) = [
        one for one in json.loads(verified("--json")[1])["invariants"] if one["name"] == "changes-captured"
    ]
    assert finding["broken"] == 1
    assert "uncaptured --forget" in finding["remedy"]


def test_the_command_lists_and_forgets_and_the_audit_trail_keeps_it() -> None:
    assert said("uncaptured") == "Nothing passed Django by.\n"
    execute("UPDATE crm_opportunity SET stage = 'x'")
    execute("UPDATE crm_opportunity SET stage = 'y' WHERE name = 'Deal 0'")

    listed = said("uncaptured")

    assert "opportunity: 4 rows by UPDATE in 2 statements, from" in listed
    assert "--forget" in listed
    assert UncapturedWrite.objects.count() == 2
    assert "4 rows by UPDATE in 2 statements" in said("uncaptured", "--forget")
    assert not UncapturedWrite.objects.exists()
    entry = AuditEntry.objects.get(action="records.uncaptured_forgotten")
    assert (entry.actor, entry.subject) == ("command line", "opportunity")
    assert (entry.metadata["operation"], entry.metadata["rows"], entry.metadata["statements"]) == (
        "UPDATE",
        4,
        2,
    )
    assert verified()[0] == 0
    said("uncaptured", "--forget")  # nothing to forget, nothing to tell
    assert AuditEntry.objects.filter(action="records.uncaptured_forgotten").count() == 1


# --- the database as the settings ask for ---------------------------------------------------------


def differences() -> list[str]:
    (finding,) = [one for one in running.verify() if one.invariant.name == "capture-installed"]
    return finding.ids


@pytest.mark.parametrize("mode", ["orm", "trigger"])
def test_a_database_that_was_migrated_with_these_settings_is_as_they_ask(mode: str) -> None:
    with capturing(mode):
        assert differences() == []


@pytest.mark.parametrize(
    ("mode", "statement", "difference"),
    [
        (
            "orm",
            "DROP TRIGGER lightfield_seen_insert ON crm_account",
            "crm_account lacks lightfield_seen_insert",
        ),
        ("trigger", "DROP TRIGGER lightfield_capture ON crm_account", "crm_account lacks lightfield_capture"),
        (
            "trigger",
            "ALTER TABLE crm_account DISABLE TRIGGER lightfield_capture",
            "crm_account has lightfield_capture, disabled",
        ),
        (
            "trigger",
            "COMMENT ON TRIGGER lightfield_capture_new ON crm_account IS 'older'",
            "crm_account has lightfield_capture_new, of another release or setting",
        ),
        (
            "orm",
            "CREATE TRIGGER lightfield_capture AFTER UPDATE ON crm_account EXECUTE FUNCTION lightfield_note_uncaptured()",
            "crm_account has lightfield_capture",
        ),
    ],
)
def test_a_table_that_is_otherwise_is_named(mode: str, statement: str, difference: str) -> None:
    with capturing(mode):
        execute(statement)
        try:
            assert differences() == [difference]
        finally:
            execute("DROP TRIGGER IF EXISTS lightfield_capture ON crm_account")
            execute("ALTER TABLE crm_account ENABLE TRIGGER USER")
            database.arrange()
        assert differences() == []


def test_given_the_setting_changed_without_a_migrate_then_every_watched_table_is_named(settings: Any) -> None:
    """With `trigger` Django leaves it to the database, which does nothing: each change would be lost in silence."""
    settings.LIGHTFIELD_CAPTURE = "trigger"
    watching("opportunity", "updated")
    found = differences()
    Opportunity.objects.update(stage="lost")

    assert "crm_opportunity lacks lightfield_capture" in found
    assert "crm_opportunity has lightfield_seen_update" in found
    assert payloads() == []
    assert notes() == [("opportunity", "UPDATE", 3)]  # and so it is not quite in silence
