"""A limit on how long a thread waits for PostgreSQL, measured on this side.

`statement_timeout` is kept by the server. A server that is stopped, frozen or cut off keeps nothing: a client
without a limit of its own then waits for ever. Connections of the pool are `DeadlineConnection`s: every wait
ends after `LONGEST_WAIT_SECONDS`, or at the thread's own, nearer deadline, and the connection with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import Error
from psycopg_pool import PoolTimeout

LONGEST_WAIT_SECONDS = 15.0  # the server ends statements after 5 s; this is for one that no longer can

_thread = threading.local()


class DatabaseTooSlow(psycopg.OperationalError):
    """PostgreSQL did not answer in time. Whether it carried the statement out is unknown."""


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection that stops waiting at the thread's deadline, and is closed then: its state is unknown."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        limit = min(LONGEST_WAIT_SECONDS, seconds_left(), timeout or LONGEST_WAIT_SECONDS)
        ends = time.monotonic() + limit
        try:
            return super().wait(gen, interval=interval, timeout=max(limit, 0.001))
        except psycopg.OperationalError as error:
            if timeout is not None or time.monotonic() < ends:
                raise
            self.pgconn.finish()
            raise DatabaseTooSlow(f"no answer within {limit:.1f} s") from error


@contextmanager
def answer_within(seconds: float) -> Iterator[None]:
    """Inside the block, this thread waits for PostgreSQL no longer than `seconds` in all."""
    before = getattr(_thread, "ends", None)
    _thread.ends = time.monotonic() + seconds
    try:
        yield
    finally:
        _thread.ends = before


def seconds_left() -> float:
    """Until the thread's deadline; infinite without one."""
    ends = getattr(_thread, "ends", None)
    return float("inf") if ends is None else ends - time.monotonic()


def is_connection_lost(error: Error) -> bool:
    """Whether a new connection may help: this one broke, or its server went away.

    A full pool or a server that does not answer is no reason to try again at once.
    """
    cause = error.__cause__ or error
    if isinstance(cause, DatabaseTooSlow | PoolTimeout):
        return False
    state = getattr(cause, "sqlstate", None)
    return state is None or state.startswith("08") or state in ("57P01", "57P02", "57P03")
