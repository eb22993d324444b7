"""Two statements in one exchange: PostgreSQL has the first, and the lock it took, and waits for the second.

It waits without end: none of its timeouts runs while a client is in the middle of an exchange. A worker that was stopped
there kept every other from admitting steps of its lane for as long as it was stopped.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import OperationalError

from executions import admission
from lightfield.kernel import sql
from tests.concurrency import race

pytestmark = pytest.mark.django_db(transaction=True)


def test_given_a_worker_that_stalls_with_the_lane_in_its_hands_then_postgresql_takes_it_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_held, is_taken = threading.Event(), threading.Event()
    execute = sql._execute

    def stalling(cursor: Any, statement: str, params: Any) -> None:
        if statement == admission.ADMIT:
            is_held.set()
            assert is_taken.wait(10)
        execute(cursor, statement, params)

    def stopped() -> None:
        sql.rows("SET idle_in_transaction_session_timeout = 100", {})
        with pytest.raises(OperationalError):
            sql.rows_after(admission.LOCK_LANE, admission.ADMIT, {"lane": "http"})

    def other() -> int:
        assert is_held.wait(10)
        locked = sql.rows(admission.LOCK_LANE, {"lane": "http"})
        is_taken.set()
        return len(locked)

    monkeypatch.setattr(sql, "_execute", stalling)

    assert race(stopped, other) == [None, 1]
