"""PostgreSQL ends a connection that idles in a transaction; psycopg calls what follows an internal error.

Everybody who writes again after a lost connection waits for an OperationalError, so a worker that was stopped in the
middle of a transaction left its outcome behind with a traceback.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from lightfield.kernel import sql

pytestmark = pytest.mark.django_db(transaction=True)


def wait_until_ended(pid: int) -> None:
    settings: dict[str, Any] = connection.get_connection_params()
    known = {
        name: settings[name] for name in ("host", "port", "user", "password", "dbname") if name in settings
    }
    with psycopg.connect(**known, autocommit=True) as other:
        for _ in range(500):
            other.execute("SELECT pg_sleep(0.01)")
            if other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone() is None:
                return
    raise AssertionError("the connection was not ended")


def test_given_a_transaction_that_idled_too_long_when_it_goes_on_then_its_connection_is_lost() -> None:
    with pytest.raises(OperationalError, match="idle-in-transaction"), transaction.atomic():  # noqa: PT012
        ours = sql.row("SELECT pg_backend_pid()", {})
        assert ours is not None
        sql.rows("SET LOCAL idle_in_transaction_session_timeout = 20", {})
        wait_until_ended(ours[0])
        sql.rows("SELECT 1", {})
