"""The engine's own way to PostgreSQL: prepared statements inside Django's transactions."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace
from tests.concurrency import race, wait_until_blocked

pytestmark = pytest.mark.django_db(transaction=True)


def test_rows_and_the_first_of_them() -> None:
    assert sql.rows("SELECT generate_series(1, %(n)s::int)", {"n": 3}) == [(1,), (2,), (3,)]
    assert sql.row("SELECT generate_series(1, %(n)s::int)", {"n": 3}) == (1,)
    assert sql.row("SELECT 1 WHERE false", {}) is None
    assert sql.rows("SET application_name = 'x'", {}) == []


def test_statements_belong_to_djangos_transaction() -> None:
    with transaction.atomic():
        sql.rows("INSERT INTO executions_heartbeat (node, queue) VALUES ('n', 'q')", {})
        transaction.set_rollback(True)

    assert sql.rows("SELECT 1 FROM executions_heartbeat", {}) == []


def test_a_guard_that_does_not_match_undoes_the_whole_statement() -> None:
    with pytest.raises(LostRace):
        sql.rows(
            "WITH i AS (INSERT INTO executions_heartbeat (node, queue) VALUES ('n', 'q')) SELECT lost_race()",
            {},
        )

    assert sql.rows("SELECT 1 FROM executions_heartbeat", {}) == []


def test_errors_are_djangos_and_keep_postgresqls_code() -> None:
    with pytest.raises(IntegrityError) as refused:
        sql.rows("INSERT INTO executions_heartbeat (node, queue) VALUES (NULL, 'q')", {})

    assert sql.sqlstate(refused.value) == "23502"
    assert sql.sqlstate(ValueError()) is None


def test_json_parameters_keep_null_and_the_json_null_apart() -> None:
    assert sql.row("SELECT %(a)s::jsonb IS NULL, %(b)s::jsonb::text", {"a": sql.json(None), "b": sql.json({"x": None})}) == (
        True,
        '{"x": null}',
    )  # fmt: skip


def test_a_deadlock_is_tried_again_by_its_victim() -> None:
    sql.rows("INSERT INTO executions_heartbeat (node, queue) VALUES ('a', 'q'), ('b', 'q')", {})
    both_hold_one = threading.Barrier(2)
    tries: list[str] = []

    def cross(first: str, second: str) -> Any:
        @sql.retrying_conflicts
        def update() -> str:
            with transaction.atomic():
                touch(first)
                tries.append(first)
                if len(tries) <= 2:
                    both_hold_one.wait(10)
                touch(second)
            return "done"

        return update

    assert race(cross("a", "b"), cross("b", "a")) == ["done", "done"]
    assert len(tries) == 3


def touch(node: str) -> None:
    sql.rows(
        "UPDATE executions_heartbeat SET at = clock_timestamp() WHERE node = %(node)s::text", {"node": node}
    )


def test_a_lock_that_is_never_given_back_is_given_up_after_four_tries() -> None:
    sql.rows("INSERT INTO executions_heartbeat (node, queue) VALUES ('a', 'q')", {})
    is_locked, may_end = threading.Event(), threading.Event()
    tries: list[int] = []

    def holder() -> None:
        with transaction.atomic():
            touch("a")
            is_locked.set()
            assert may_end.wait(20)

    @sql.retrying_conflicts
    def impatient() -> None:
        tries.append(1)
        touch("a")

    def contender() -> None:
        assert is_locked.wait(10)
        sql.rows("SET lock_timeout = '20ms'", {})
        try:
            impatient()
        finally:
            may_end.set()

    error = race(holder, contender)[1]

    assert isinstance(error, OperationalError)
    assert sql.sqlstate(error) == "55P03"
    assert len(tries) == 4


def test_inside_a_larger_transaction_a_conflict_is_not_tried_again() -> None:
    """Its transaction is lost: only whoever began it can begin anew."""
    sql.rows("INSERT INTO executions_heartbeat (node, queue) VALUES ('a', 'q')", {})
    is_locked, may_end = threading.Event(), threading.Event()
    tries: list[int] = []

    def holder() -> None:
        with transaction.atomic():
            touch("a")
            is_locked.set()
            assert may_end.wait(20)

    @sql.retrying_conflicts
    def inner() -> None:
        tries.append(1)
        touch("a")

    def contender() -> None:
        assert is_locked.wait(10)
        try:
            with transaction.atomic():
                sql.rows("SET LOCAL lock_timeout = '20ms'", {})
                inner()
        finally:
            may_end.set()

    assert isinstance(race(holder, contender)[1], OperationalError)
    assert len(tries) == 1


def test_other_errors_are_not_tried_again() -> None:
    tries: list[int] = []

    @sql.retrying_conflicts
    def broken() -> None:
        tries.append(1)
        sql.rows("SELECT 1 / 0", {})

    with pytest.raises(DatabaseError):
        broken()
    assert len(tries) == 1


def test_two_statements_are_one_transaction() -> None:
    add = "INSERT INTO executions_heartbeat (node, queue) VALUES (%(node)s::text, 'q') RETURNING node"
    seen = "SELECT count(*)::int, txid_current()::text FROM executions_heartbeat WHERE xmin::text = txid_current()::text"

    assert sql.rows_after(add, seen, {"node": "n"})[0][0] == 1
    with pytest.raises(DatabaseError):
        sql.rows_after(add, "SELECT 1 / (%(node)s::text <> 'm')::int", {"node": "m"})
    with transaction.atomic():
        sql.rows_after(add, "SELECT 1", {"node": "o"})
        transaction.set_rollback(True)

    assert sql.rows("SELECT node FROM executions_heartbeat", {}) == [("n",)]


def test_the_second_of_two_statements_sees_what_the_first_waited_for() -> None:
    sql.rows("INSERT INTO executions_heartbeat (node, queue) VALUES ('n', 'before')", {})
    is_held = threading.Event()

    def holder() -> None:
        with transaction.atomic():
            sql.rows("UPDATE executions_heartbeat SET queue = 'after'", {})
            is_held.set()
            wait_until_blocked()

    def waiter() -> Any:
        assert is_held.wait(10)
        wait = "SELECT 1 FROM executions_heartbeat WHERE node = %(node)s::text FOR UPDATE"
        return sql.rows_after(
            wait, "SELECT queue FROM executions_heartbeat WHERE node = %(node)s::text", {"node": "n"}
        )

    assert race(holder, waiter) == [None, [("after",)]]


def test_a_wait_inside_a_transaction_is_refused() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="commit first"):
        sql.release()


def test_releasing_gives_the_connection_back() -> None:
    sql.rows("SELECT 1", {})
    sql.release()

    assert connection.connection is None
    assert sql.row("SELECT 1", {}) == (1,)


def test_a_statement_is_prepared_once_for_each_connection() -> None:
    for number in range(3):
        sql.rows("SELECT %(n)s::int AS only_here", {"n": number})

    assert sql.rows(
        "SELECT count(*)::int FROM pg_prepared_statements WHERE statement LIKE '%%only_here%%'", {}
    ) in (
        [(1,)],
        [(2,)],  # and this one
    )


def test_the_tests_own_referee_sees_who_waits() -> None:
    sql.rows("INSERT INTO executions_heartbeat (node, queue) VALUES ('a', 'q')", {})
    is_locked, may_end = threading.Event(), threading.Event()

    def holder() -> None:
        with transaction.atomic():
            touch("a")
            is_locked.set()
            assert may_end.wait(10)

    def waiter() -> None:
        assert is_locked.wait(10)
        touch("a")

    def referee() -> None:
        wait_until_blocked()
        may_end.set()

    assert race(holder, waiter, referee) == [None, None, None]
