"""A limit on how long a thread waits for PostgreSQL, measured on this side.

`statement_timeout` is kept by the server. A server that is stopped, frozen or cut off keeps nothing: a client
without a limit of its own then waits for ever. Connections of the pool are `DeadlineConnection`s: every wait
ends after `LONGEST_WAIT_SECONDS`, or at the thread's own, nearer deadline, and the connection with it.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from django.db.utils import Error, InterfaceError, OperationalError
from psycopg_pool import PoolTimeout

LONGEST_WAIT_SECONDS = 15.0  # the server ends statements after 5 s; this is for one that no longer can
DOUBT_SECONDS = 5.0  # a server that vanished without closing is noticed by a round trip after this
LOOK_SECONDS = 1.0  # at all other connections of the pool, when one was ended

# PostgreSQL shuts down, crashed, or is still starting (appendix A of its manual, class 57)
SERVER_GOES_AWAY = {"57P01", "57P02", "57P03"}

_thread = threading.local()


class DatabaseTooSlow(psycopg.OperationalError):
    """PostgreSQL did not answer in time. Whether it carried the statement out is unknown."""


class DatabaseAway(OperationalError):
    """Others have just waited for PostgreSQL in vain; this caller was not made to."""


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection that stops waiting at the thread's deadline, and is closed then: its state is unknown."""

    last_answer_at = 0.0  # monotonic

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """As psycopg's, with the process id behind the name, `lightfield-web:4711`: who holds that lock?

        The process that connects counts: settings may have been read by the one that it was forked from.
        """
        if name := kwargs.get("application_name"):
            kwargs["application_name"] = f"{name}:{os.getpid()}"
        return super().connect(conninfo, **kwargs)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        limit = min(LONGEST_WAIT_SECONDS, seconds_left(), timeout or LONGEST_WAIT_SECONDS)
        ends = time.monotonic() + limit
        try:
            answer = super().wait(gen, interval=interval, timeout=max(limit, 0.001))
            self.last_answer_at = time.monotonic()
            return answer
        except psycopg.OperationalError as error:
            if timeout is not None or time.monotonic() < ends:
                raise
            self.pgconn.finish()
            raise DatabaseTooSlow(f"no answer within {limit:.1f} s") from error

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """The pool asks with an empty statement, every time, whether a connection still lives.

        PostgreSQL says nothing to an idle client unless it ends the connection, so silence means that all is
        well. Only after a while is the silence doubted, and the round trip made.
        """
        if query != "":
            return super().execute(query, *args, **kwargs)
        is_fresh = time.monotonic() - self.last_answer_at < DOUBT_SECONDS
        if is_fresh and self._is_silent():
            return self.cursor()
        try:
            return super().execute(query, *args, **kwargs)
        except DatabaseTooSlow:
            raise
        except psycopg.OperationalError:
            self._look_at_the_others()
            raise

    def _look_at_the_others(self) -> None:
        """The server ended this connection; if it restarted, it ended them all.

        The pool finds out one by one, with a longer pause after each: with three idle ones a request gave up although
        the server was back.
        """
        pool: Any = getattr(self, "_pool", None)  # none while it waits in the pool: no look leads to the next
        if pool is not None:
            with answer_within(min(LOOK_SECONDS, seconds_left())):
                pool.check()

    def _is_silent(self) -> bool:
        poll = select.poll()  # unlike select(), without a limit on the number of open files
        poll.register(self.fileno(), select.POLLIN)
        return not poll.poll(0)


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
    """Whether a new connection may help at once: this one broke. Not when the server does not answer."""
    return is_unreachable(error) and not isinstance(error.__cause__, DatabaseTooSlow | PoolTimeout)


def is_unreachable(error: Error) -> bool:
    """Whether it is about the line or the server as a whole, and not about one statement."""
    state = getattr(error.__cause__ or error, "sqlstate", None)
    return state is None or state.startswith("08") or state in SERVER_GOES_AWAY


class Breaker:
    """Ask PostgreSQL with a deadline; while it does not answer, let one caller find out and refuse the others.

    Without it every thread of a process would wait out its own deadline, and requests would pile up behind.
    """

    PAUSE_SECONDS = 0.2  # between two that find out

    def __init__(self, *, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._is_broken = False
        self._next_try = 0.0  # monotonic

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Around the statements of one caller.

        Raises:
            DatabaseAway: somebody else is finding out right now, or has just done so.
            django.db.OperationalError, InterfaceError: as the statements raise them.
        """
        self._enter()
        try:
            with answer_within(self._patience_seconds):
                yield
        except (OperationalError, InterfaceError) as error:
            self._note(is_broken=is_unreachable(error))
            raise
        except Exception:
            self._note(is_broken=False)
            raise
        self._note(is_broken=False)

    def _enter(self) -> None:
        if not self._is_broken:
            return
        with self._lock:
            now = time.monotonic()
            if now < self._next_try:
                raise DatabaseAway("the database does not answer")
            self._next_try = now + self._patience_seconds

    def _note(self, *, is_broken: bool) -> None:
        if is_broken or self._is_broken:
            with self._lock:
                self._is_broken = is_broken
                self._next_try = time.monotonic() + self.PAUSE_SECONDS
