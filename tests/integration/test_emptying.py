"""What one test committed, no other sees: not the rows, and not the size or the statistics of a table."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction

from executions.models import Lane
from lightfield.access.models import AuditEntry
from lightfield.kernel import sql
from tests import emptying
from tests.bellboy import Bellboy
from tests.concurrency import race, wait_until_blocked
from tests.factories import a_published_workflow
from tests.staging import a_run, answer_with_cells_here, slow
from triggers.models import UncapturedWrite
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

CASE: Any = SimpleNamespace(reset_sequences=False, serialized_rollback=False)
STATE = "SELECT pg_relation_size(oid)::int, relpages, reltuples::int FROM pg_class WHERE relname = %(table)s::text"
NOTES = "triggers_uncapturedwrite"

on_our_own_server = pytest.mark.skipif(
    "DATABASE_URL" not in os.environ["LIGHTFIELD_TEST_OWN_SERVERS"],
    reason="a server that was given need not grant it; then all is truncated",
)


def tables_with_rows() -> set[str]:
    return {name for name in emptying._tables() if sql.row(f'SELECT 1 FROM "{name}" LIMIT 1', {})}


def test_rows_are_gone_whatever_refers_to_them_and_whatever_guards_them(
    bellboy: Bellboy, slow_step: Any
) -> None:
    a_run(workflow=a_published_workflow(steps=[slow()]))
    answer_with_cells_here(bellboy)
    assert {"workflows_workflowversion", "executions_run", "access_auditentry"} <= tables_with_rows()

    emptying.empty(CASE)

    assert tables_with_rows() == set()


@pytest.mark.parametrize(
    "aged",
    [
        f"INSERT INTO {NOTES} (entity, operation, rows) SELECT 'x', 'UPDATE', n FROM generate_series(1, 5000) n",
        f"ANALYZE {NOTES}",
    ],
    ids=["grown", "counted"],
)
def test_a_table_that_is_no_longer_young_is_young_again(aged: str) -> None:
    a_published_workflow()
    sql.rows(f"INSERT INTO {NOTES} (entity, operation, rows) VALUES ('x', 'UPDATE', 1)", {})
    sql.rows(aged, {})

    emptying.empty(CASE)

    assert sql.row(STATE, {"table": NOTES}) == (0, 0, -1)
    assert tables_with_rows() == set()


@on_our_own_server
def test_a_small_table_keeps_its_file() -> None:
    """Or a test takes as long as a test took before."""
    workflow = a_published_workflow()
    file = "SELECT relfilenode::bigint FROM pg_class WHERE relname = 'workflows_workflow'"
    before = sql.row(file, {})

    emptying.empty(CASE)

    assert sql.row(file, {}) == before
    assert not Workflow.objects.filter(pk=workflow.pk).exists()


def test_lanes_are_as_the_settings_say() -> None:
    before = list(Lane.objects.order_by("name").values())
    Lane.objects.update(width=1, most_queued=2)

    emptying.empty(CASE)

    assert list(Lane.objects.order_by("name").values()) == before


def test_given_somebody_who_still_writes_then_that_is_waited_for() -> None:
    has_written = threading.Event()

    def latecomer() -> None:
        with transaction.atomic():
            AuditEntry.objects.create(actor="late", action="late", subject="late")
            has_written.set()
            wait_until_blocked()

    def emptier() -> None:
        assert has_written.wait(10)
        emptying.empty(CASE)

    assert race(latecomer, emptier) == [None, None]
    assert not AuditEntry.objects.exists()
    assert UncapturedWrite.objects.count() == 0


@on_our_own_server
def test_who_may_delete_is_no_superuser_for_that() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT usesuper FROM pg_user WHERE usename = current_user")
        is_superuser = cursor.fetchone()[0]
    assert emptying._may_delete()
    assert not is_superuser
