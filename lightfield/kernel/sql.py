"""Raw SQL on Django's connection, for the statements that must be one statement.

Django's own cursor binds parameters on the client and cannot prepare. The engine's statements are long, few
and hot: bound on the server and prepared once per connection, they are neither parsed nor planned again.
They still take part in Django's transactions: inside `atomic()` they belong to it, outside each is its own.
"""

from __future__ import annotations

import functools
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

import psycopg
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from psycopg.types.json import Jsonb

from lightfield.kernel.errors import LostRace

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

LOST_RACE = "LF001"  # raised by the database function lost_race()
IDLE_TOO_LONG = (
    "25P03"  # a transaction of ours slept beyond idle_in_transaction_session_timeout; its connection is gone
)
NAMED = re.compile(r"%\((\w+)\)s")
CONFLICTS = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock not available


def rows(statement: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows. jsonb columns come as text: the caller decides what to parse.

    Raises:
        LostRace: a guard of the statement did not match; the statement changed nothing.
        django.db.DatabaseError: everything else, as Django would raise it.
    """
    with _told_apart(), psycopg.RawCursor(connection.connection) as cursor:
        _execute(cursor, statement, params)
        return cursor.fetchall() if cursor.description else []


def rows_after(first: str, statement: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Two statements in one transaction; the rows of the second, which sees what the first waited for.

    What `atomic()` does in four round trips, in three: the transaction begins with the first statement. Not in one
    (psycopg's pipeline): a client that stalls in the middle of an exchange keeps what it has locked, and no timeout of
    PostgreSQL's ends it. Inside `atomic()` they belong to that. Raises as `rows` does.
    """
    if connection.in_atomic_block:
        rows(first, params)
        return rows(statement, params)
    with _told_apart():
        connected = connection.connection
        try:
            with psycopg.ClientCursor(connected) as cursor:
                cursor.execute(f"BEGIN; {first}".encode(), params)
            with psycopg.RawCursor(connected) as cursor:
                _execute(cursor, statement, params)
                found = cursor.fetchall()
            connected.commit()
        except BaseException:
            with suppress(psycopg.Error):  # the connection may be what broke
                connected.rollback()
            raise
        return found


def _execute(cursor: psycopg.RawCursor[Any], statement: str, params: Mapping[str, Any]) -> None:
    text, names = numbered(statement)
    cursor.execute(text, [params[name] for name in names], prepare=True)


@contextmanager
def _told_apart() -> Iterator[None]:
    """On Django's connection, with its errors and ours."""
    connection.ensure_connection()
    try:
        with connection.wrap_database_errors:
            yield
    except DatabaseError as error:
        if sqlstate(error) == LOST_RACE:
            raise LostRace from error
        # To psycopg an internal error, to everybody else a lost connection.
        if sqlstate(error) == IDLE_TOO_LONG:
            raise OperationalError(str(error)) from error.__cause__
        raise


@functools.lru_cache(maxsize=256)
def numbered(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """The statement as PostgreSQL wants it, with `$1` for `%(name)s`, and the names in their order.

    psycopg would do it for each execution of what is longer than 4,096 characters, and our longest are.
    """
    names = tuple(dict.fromkeys(NAMED.findall(statement)))
    text = NAMED.sub(lambda found: f"${names.index(found[1]) + 1}", statement)
    return text.replace("%%", "%").encode(), names


def row(statement: str, params: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The first row, or None."""
    found = rows(statement, params)
    return found[0] if found else None


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-character code behind a Django database error."""
    cause = error.__cause__ or error
    return getattr(cause, "sqlstate", None)


def json(value: Any) -> Jsonb | None:
    """A parameter for a jsonb column; None stays NULL."""
    return None if value is None else Jsonb(value)


def retrying_conflicts(transaction: Callable[P, R]) -> Callable[P, R]:
    """Decorator for a whole transaction: run it up to three times more when PostgreSQL broke a conflict.

    Only a deadlock, a serialization failure or a lock timeout is repeated: nothing was written then.
    """

    @functools.wraps(transaction)
    def attempt(*args: P.args, **kwargs: P.kwargs) -> R:
        for number in range(3):
            try:
                return transaction(*args, **kwargs)
            except OperationalError as error:
                if sqlstate(error) not in CONFLICTS or connection.in_atomic_block:
                    raise
                logger.info("conflict_retried", extra={"sqlstate": sqlstate(error), "attempt": number + 1})
                time.sleep(random.uniform(0.005, 0.05) * (number + 1))  # noqa: S311  jitter, not a secret
        return transaction(*args, **kwargs)

    return attempt


def release() -> None:
    """Give the connection back before a wait that is not SQL.

    Hundreds of steps wait for the far side while a handful of connections serve them. Waiting inside a
    transaction would hold locks for as long, so that is refused.
    """
    if connection.in_atomic_block:
        raise RuntimeError("a wait inside a transaction: commit first")
    connection.close()


__all__ = [
    "InterfaceError",
    "OperationalError",
    "json",
    "numbered",
    "release",
    "retrying_conflicts",
    "row",
    "rows",
    "rows_after",
    "sqlstate",
]
