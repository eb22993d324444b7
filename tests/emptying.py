"""Emptying the database after a test that committed.

Django truncates every table, and with them permissions and content types, which it makes anew. Here what every
installation has from the start stays, and the rest is deleted: to truncate makes new files for 200 tables and indexes,
and every plan is forgotten. Only tables that have grown, or that PostgreSQL has counted, are truncated, so that no
test sees the size or the statistics that an earlier one left.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.core.management.color import no_style
from django.db import connection, transaction
from django.test import TransactionTestCase

from executions.apps import set_lanes
from executions.models import Lane

# Filled by migrate. A test may change lanes, so they are set again.
KEPT = {"django_migrations", "django_content_type", "auth_permission", "executions_lane"}
FEW_BYTES = 8 * 8192

# Tables that have pages, and whether one of them is no longer young. A partitioned table's are its partitions'.
WRITTEN = """
SELECT coalesce(array_agg(c.oid::regclass::text ORDER BY c.relname), '{}'),
       coalesce(bool_or(c.reltuples >= 0 OR pg_relation_size(c.oid) > %s), false)
FROM pg_class c
WHERE c.oid = ANY(%s::text[]::regclass[]) AND (c.relkind = 'p' OR pg_relation_size(c.oid) > 0)
"""
# Foreign keys and the guards of rows that never change. The server of bin/test grants it; another one may not.
MAY_DELETE = "SELECT has_parameter_privilege('session_replication_role', 'SET')"
WITHOUT_GUARDS = "SET LOCAL session_replication_role = replica"

_case: Any = TransactionTestCase
_as_django_does = _case._fixture_teardown
_lanes_as_set: list[Any] | None = None


def empty(case: Any) -> None:
    """In place of `TransactionTestCase._fixture_teardown`."""
    if case.reset_sequences or case.serialized_rollback:
        _as_django_does(case)
        return
    with transaction.atomic(), connection.cursor() as cursor:
        # As TRUNCATE does: whoever still writes ends first.
        cursor.execute(f"LOCK TABLE {', '.join(_quoted())}")
        cursor.execute(WRITTEN, [FEW_BYTES, _quoted()])
        written, has_grown = cursor.fetchone()
        if has_grown or not _may_delete():
            cursor.execute(_truncate())
        else:
            cursor.execute(_delete(written))
    _set_lanes()


def use() -> None:
    _case._fixture_teardown = empty


def forget_tables() -> None:
    """For tests that bring tables of their own."""
    _quoted.cache_clear()
    _truncate.cache_clear()


def _set_lanes() -> None:
    global _lanes_as_set
    if _lanes() != _lanes_as_set:
        set_lanes()
        _lanes_as_set = _lanes()


def _lanes() -> list[Any]:
    return list(Lane.objects.order_by("name").values_list())


@cache
def _quoted() -> list[str]:
    return [connection.ops.quote_name(name) for name in _tables()]


def _tables() -> list[str]:
    return sorted(set(connection.introspection.table_names()) - KEPT)


@cache
def _truncate() -> str:
    return " ".join(connection.ops.sql_flush(no_style(), _tables()))


def _delete(tables: Sequence[str]) -> str:
    return "; ".join([WITHOUT_GUARDS, *(f"DELETE FROM {table}" for table in tables)])


@cache
def _may_delete() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(MAY_DELETE)
        return bool(cursor.fetchone()[0])
