"""`?wait=SECONDS`: the caller of a webhook, or of a run by hand, stays until the event's run has ended.

The rows are asked, at growing intervals. Nobody tells the waiter that a run has ended: a message for each run would be
paid for by all those that nobody waits for, and a waiter of 25 s asks some 110 times, half a millisecond each.

A waiter has a thread of the web process and nothing else. Its database connection is back in the pool between two
looks. At most `LIGHTFIELD_WAITERS` wait in one process, so that the other threads go on serving; who comes when all
places are taken is answered at once, as without `?wait`. So is who waits when the process is told to end. A caller who hangs up is noticed,
and its thread is free again.

What ended is told by a function that `executions` brings: an event does not know its runs.
"""

from __future__ import annotations

import logging
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError

from lightfield.kernel import sql, stopping
from lightfield.kernel.db_deadline import answer_within
from lightfield.kernel.errors import Problem, RequestRefused

logger = logging.getLogger(__name__)

PARAMETER: Final = "wait"
MOST_SECONDS: Final = 25.0  # senders and proxies give up after 30
NUMBER: Final = re.compile(r"[0-9]{1,2}(\.[0-9]{1,3})?", re.ASCII)
FIRST_LOOK_SECONDS: Final = 0.005
LONGEST_PAUSE_SECONDS: Final = 0.25
GROWTH: Final = 1.25
LOOK_SECONDS: Final = 1.0  # that one look may take


@dataclass(frozen=True)
class Ended:
    """What became of an event. `status` is its run's, or `ignored` or `poison` when it has none and never will."""

    status: str
    run_id: UUID | None
    output: Any  # of the last step that completed
    error: dict[str, Any] | None  # {"code", "message", "retryable", "metadata"}

    def as_json(self) -> dict[str, Any]:
        """As it is told to whoever waits. Metadata of errors are for people with the right to see runs."""
        error = self.error and {"code": self.error["code"], "message": self.error["message"]}
        return {
            "run_id": self.run_id and str(self.run_id),
            "status": self.status,
            "output": self.output,
            "error": error,
        }


Look = Callable[[UUID], Ended | None]
_looks: list[Look] = []


def told_by(look: Look) -> Look:
    """Decorator: `look(event_id)` is asked what became of an event; None while it goes on."""
    _looks[:] = [look]
    return look


def seconds_asked(meta: Mapping[str, Any]) -> float:
    """How long the caller wants to wait, by its query string; 0 when it does not say.

    Raises:
        RequestRefused: `request.invalid`.
    """
    query = str(meta.get("QUERY_STRING") or "")
    values = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == PARAMETER]
    if not values:
        return 0.0
    if len(values) == 1 and NUMBER.fullmatch(values[0]) and float(values[0]) <= MOST_SECONDS:
        return float(values[0])
    detail = f"Expected one number of seconds from 0 to {MOST_SECONDS:g}."
    problem = Problem(f"/{PARAMETER}", "request.invalid", detail)
    raise RequestRefused(
        "request.invalid", f"The query parameter {PARAMETER!r} is not valid. {detail}", [problem]
    )


class Places:
    """Who may wait in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.taken = 0

    def take(self) -> bool:
        with self._lock:
            if self.taken >= settings.LIGHTFIELD_WAITERS:
                return False
            self.taken += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self.taken -= 1


places = Places()


def until_ended(event_id: UUID, seconds: float, *, client: Any = None) -> Ended | None:
    """Wait until the event's newest run has ended; None when it has not, or there is no place to wait.

    Call it outside a transaction: this thread's database connection is given back.

    Args:
        client: the caller's socket, to notice when it hangs up.
    """
    if seconds <= 0 or not places.take():
        return None
    try:
        sql.release()  # refused inside a transaction
        return _until_ended(event_id, time.monotonic() + seconds, client)
    except (DatabaseError, OSError):
        logger.exception(
            "wait_failed"
        )  # the event is committed: whoever hears of a failure would send it again
        return None
    finally:
        places.leave()


def _until_ended(event_id: UUID, ends: float, client: Any) -> Ended | None:
    pause = FIRST_LOOK_SECONDS
    while True:
        sql.release()  # the connection goes back to the pool
        left = ends - time.monotonic()
        if left <= 0 or stopping.is_requested() or has_hung_up(client, min(pause, left)):
            return None
        if (ended := _look(event_id)) is not None:
            return ended
        pause = min(pause * GROWTH, LONGEST_PAUSE_SECONDS)


def _look(event_id: UUID) -> Ended | None:
    """One look at the rows; a database that is away is asked again next time."""
    try:
        with answer_within(LOOK_SECONDS):
            return _looks[0](event_id)
    except (OperationalError, InterfaceError) as error:
        logger.info("wait_could_not_look", extra={"error": type(error).__name__})
        return None


def has_hung_up(client: Any, seconds: float) -> bool:
    """Whether the caller ends its side of the connection within so many seconds; returns as soon as it has."""
    if not isinstance(client, socket.socket):
        time.sleep(seconds)
        return False
    poll = select.poll()
    poll.register(client.fileno(), select.POLLRDHUP)
    return bool(poll.poll(seconds * 1000))
