"""Raw SQL on Django's connection, for the statements that must be one statement.

Django's own cursor binds parameters on the client and cannot prepare. The engine's statements are long, few
and hot: bound on the server and prepared once per connection, they are neither parsed nor planned again.
They still take part in Django's transactions: inside `atomic()` they belong to it, outside each is its own.
"""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable, Mapping
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
CONFLICTS = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock not available


def rows(statement: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows. jsonb columns come as text: the caller decides what to parse.

    Raises:
        LostRace: a guard of the statement did not match; the statement changed nothing.
        django.db.DatabaseError: everything else, as Django would raise it.
    """
    connection.ensure_connection()
    try:
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(statement, params, prepare=True)
            return cursor.fetchall() if cursor.description else []
    except DatabaseError as error:
        if sqlstate(error) == LOST_RACE:
            raise LostRace from error
        if (
            sqlstate(error) == IDLE_TOO_LONG
        ):  # to psycopg an internal error, to everybody else a lost connection
            raise OperationalError(str(error)) from error.__cause__
        raise


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
    "release",
    "retrying_conflicts",
    "row",
    "rows",
    "sqlstate",
]
