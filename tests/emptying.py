"""Emptying the database after a test that committed: in milliseconds.

Django truncates every table and then makes permissions and content types anew, a seventh of a second for each
test. Here the rows are deleted, and what every installation has from the start stays.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db import connection, transaction
from django.test import TransactionTestCase

from executions.apps import set_lanes

# Filled by migrate. A test may change lanes, so they are set again.
KEPT = {"django_migrations", "django_content_type", "auth_permission", "executions_lane"}

_case: Any = TransactionTestCase
_as_django_does = _case._fixture_teardown


def empty(case: Any) -> None:
    """In place of `TransactionTestCase._fixture_teardown`."""
    if case.reset_sequences or case.serialized_rollback or not _may_disable_triggers():
        _as_django_does(case)
        return
    with transaction.atomic(), connection.cursor() as cursor:
        # Neither foreign keys nor append-only triggers stand in the way, and the order does not matter.
        cursor.execute("SET LOCAL session_replication_role = replica; " + _deletes())
    set_lanes()


def use() -> None:
    _case._fixture_teardown = empty


@cache
def _deletes() -> str:
    tables = set(connection.introspection.table_names()) - KEPT
    return "; ".join(f"DELETE FROM {connection.ops.quote_name(table)}" for table in sorted(tables))


@cache
def _may_disable_triggers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('is_superuser') = 'on'")
        return bool(cursor.fetchone()[0])
