"""Waiting for PostgreSQL ends on our side too, and not for every thread in turn."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from django.db import OperationalError, connection
from psycopg_pool import ConnectionPool

from lightfield.kernel.db_deadline import (
    Breaker,
    DatabaseAway,
    DatabaseTooSlow,
    DeadlineConnection,
    answer_within,
    is_connection_lost,
    seconds_left,
)
from tests.proxy import Proxy, a_proxy, dial_postgresql

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with a_proxy(dial_postgresql) as proxy:
        yield proxy


def login() -> dict[str, str]:
    params = connection.get_connection_params()
    return {name: params[name] for name in ("dbname", "user", "password") if name in params}


@pytest.fixture
def line(proxy: Proxy) -> Iterator[DeadlineConnection]:
    """A connection through the proxy, in autocommit."""
    made = DeadlineConnection.connect(
        host="127.0.0.1", port=proxy.port, sslmode="disable", autocommit=True, **login()
    )
    yield made
    made.close()


@pytest.fixture
def pool(proxy: Proxy) -> Iterator[ConnectionPool[DeadlineConnection]]:
    """As Django makes it for a web worker, but for its size."""
    address = {"host": "127.0.0.1", "port": proxy.port, "sslmode": "disable", "autocommit": True}
    with ConnectionPool(
        kwargs=address | login(),
        min_size=1,
        max_size=6,
        timeout=1.5,
        open=True,
        check=ConnectionPool.check_connection,
        connection_class=DeadlineConnection,
    ) as made:
        yield made


def test_given_a_connection_then_its_name_tells_the_process_that_made_it(proxy):
    made = DeadlineConnection.connect(
        host="127.0.0.1", port=proxy.port, sslmode="disable", application_name="lightfield-web", **login()
    )
    named = made.execute("SELECT current_setting('application_name')").fetchone()
    made.close()

    assert named == (f"lightfield-web:{os.getpid()}",)


def test_given_a_frozen_server_then_the_wait_ends_at_the_deadline_and_the_connection_is_closed(proxy, line):
    proxy.freeze()
    began = time.monotonic()

    with pytest.raises(DatabaseTooSlow), answer_within(0.2):
        line.execute("SELECT 1")

    assert 0.2 <= time.monotonic() - began < 1
    assert line.closed


def test_given_a_deadline_that_is_over_then_nothing_is_waited_for(line):
    with answer_within(0.05):
        with pytest.raises(DatabaseTooSlow):
            line.execute("SELECT pg_sleep(0.1)")
        assert seconds_left() <= 0


def test_an_error_of_the_statement_is_no_slowness_and_leaves_the_connection_open(line):
    with answer_within(1), pytest.raises(psycopg.errors.QueryCanceled):
        line.execute("SET statement_timeout = 20; SELECT pg_sleep(1)")
    assert not line.closed


def test_deadlines_end_with_their_block_and_the_outer_one_returns():
    assert seconds_left() == float("inf")
    with answer_within(10):
        with answer_within(1):
            assert seconds_left() <= 1
        assert 9 < seconds_left() <= 10
    assert seconds_left() == float("inf")


def test_a_fresh_and_silent_connection_is_not_asked_again_whether_it_lives(proxy, line):
    line.execute("SELECT 1")
    proxy.freeze()

    with answer_within(0.2):
        ConnectionPool.check_connection(line)
    assert not line.closed


def test_a_connection_that_the_server_ended_is_found_out(line):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [line.info.backend_pid])

    with pytest.raises(psycopg.OperationalError):
        ConnectionPool.check_connection(line)


def test_given_word_from_the_server_that_is_no_farewell_when_checked_then_the_connection_stays(line):
    line.execute("LISTEN news")
    with connection.cursor() as cursor:
        cursor.execute("NOTIFY news")
    select.select([line], [], [], 5)  # it has come

    ConnectionPool.check_connection(line)

    assert line._is_silent()
    assert line.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("count", [1, 6])
def test_given_idle_connections_of_the_pool_that_the_server_ended_then_the_next_request_notices_nothing(
    pool, count
):
    # Given as many as the server had when it restarted
    taken = [pool.getconn() for _ in range(count)]
    ended = [one.info.backend_pid for one in taken]
    for one in taken:
        pool.putconn(one)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s) AS pid", [ended])

    with pool.connection() as another:
        assert another.execute("SELECT 1").fetchone() == (1,)
        assert another.info.backend_pid not in ended


def test_a_connection_that_was_silent_for_long_is_asked(proxy, line):
    line.last_answer_at = time.monotonic() - 6
    proxy.freeze()

    with pytest.raises(DatabaseTooSlow), answer_within(0.2):
        ConnectionPool.check_connection(line)


def fail(breaker: Breaker, error: Exception) -> None:
    with breaker.asked():
        raise error


def away() -> OperationalError:
    error = OperationalError("server closed the connection")
    error.__cause__ = psycopg.OperationalError("server closed the connection")
    return error


def test_given_the_database_is_away_then_one_caller_finds_out_while_the_others_are_refused_at_once():
    breaker = Breaker(patience_seconds=5)
    with pytest.raises(OperationalError, match="closed"):
        fail(breaker, away())
    is_asking, may_end = threading.Event(), threading.Event()

    # Given that the pause is over and somebody asks again
    breaker._next_try = 0

    def ask() -> None:
        with breaker.asked():
            is_asking.set()
            may_end.wait(5)

    scout = threading.Thread(target=ask)
    scout.start()
    is_asking.wait(5)

    # Then the others are refused until that one got an answer
    with pytest.raises(DatabaseAway):
        fail(breaker, AssertionError("was let in"))
    may_end.set()
    scout.join(5)
    with breaker.asked():
        assert seconds_left() <= 5


def test_right_after_a_failure_nobody_is_let_in():
    breaker = Breaker(patience_seconds=5)
    with pytest.raises(OperationalError):
        fail(breaker, away())

    with pytest.raises(DatabaseAway):
        fail(breaker, AssertionError("was let in"))


@pytest.mark.parametrize("error", [psycopg.errors.LockNotAvailable(), psycopg.errors.DiskFull()])
def test_a_failure_of_one_statement_does_not_shut_the_others_out(error):
    breaker = Breaker(patience_seconds=5)
    wrapped = OperationalError()
    wrapped.__cause__ = error

    with pytest.raises(OperationalError):
        fail(breaker, wrapped)
    with breaker.asked():
        pass
    assert not is_connection_lost(wrapped)


def test_given_the_database_answers_with_another_error_then_it_is_not_away():
    breaker = Breaker(patience_seconds=5)
    with pytest.raises(OperationalError):
        fail(breaker, away())
    breaker._next_try = 0

    with pytest.raises(ZeroDivisionError):
        fail(breaker, ZeroDivisionError())
    with breaker.asked():
        pass
