"""Emptying the database after a test that committed.

Django also truncates permissions and content types and makes them anew, which takes longer than all the rest
together. Here what every installation has from the start stays.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.core.management.color import no_style
from django.db import connection
from django.test import TransactionTestCase

from executions.apps import set_lanes

# Filled by migrate. A test may change lanes, so they are set again.
KEPT = {"django_migrations", "django_content_type", "auth_permission", "executions_lane"}

_case: Any = TransactionTestCase
_as_django_does = _case._fixture_teardown


def empty(case: Any) -> None:
    """In place of `TransactionTestCase._fixture_teardown`."""
    if case.reset_sequences or case.serialized_rollback:
        _as_django_does(case)
        return
    connection.ops.execute_sql_flush(_truncate())
    set_lanes()


def use() -> None:
    _case._fixture_teardown = empty


def forget_tables() -> None:
    """For tests that bring tables of their own."""
    _truncate.cache_clear()


@cache
def _truncate() -> list[str]:
    tables = sorted(set(connection.introspection.table_names()) - KEPT)
    return connection.ops.sql_flush(no_style(), tables)
