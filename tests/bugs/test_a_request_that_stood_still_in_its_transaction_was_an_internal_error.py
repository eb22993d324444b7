"""A web process that stood still inside a transaction answered 500 with a traceback when it went on.

PostgreSQL ends a transaction that idles for ten seconds. The engine's own statements told that as a lost connection,
Django's did not: a record that was being written, or a workflow that was being published, ended as `engine.internal`,
although to try again was all that was to be done. Found by stopping processes at CP-L2.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.models.signals import post_save

from crm.models import Opportunity
from lightfield.kernel import sql
from tests.api_client import ApiCaller, code_of

pytestmark = pytest.mark.django_db(transaction=True)


def stand_still(**sent: object) -> None:
    """Until PostgreSQL has had enough of it; it usually waits ten seconds."""
    settings: dict[str, Any] = connection.get_connection_params()
    known = {
        name: settings[name] for name in ("host", "port", "user", "password", "dbname") if name in settings
    }
    (pid,) = sql.rows("SELECT pg_backend_pid()", {})[0]
    sql.rows("SET LOCAL idle_in_transaction_session_timeout = 20", {})
    with psycopg.connect(**known, autocommit=True) as other:
        for _ in range(500):
            other.execute("SELECT pg_sleep(0.01)")
            if other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone() is None:
                return
    raise AssertionError("the connection was not ended")


def test_given_a_request_that_stood_still_when_it_goes_on_then_its_caller_may_try_again() -> None:
    caller = ApiCaller()
    post_save.connect(stand_still, sender=Opportunity)
    try:
        answer = caller.post("/crm/opportunities", {"name": "A deal"})
    finally:
        post_save.disconnect(stand_still, sender=Opportunity)

    assert code_of(answer) == (503, "engine.database_unavailable")
    assert int(answer["Retry-After"]) > 0
    assert caller.post("/crm/opportunities", {"name": "A deal"}).status_code == 201
    assert Opportunity.objects.count() == 1
