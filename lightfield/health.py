"""/livez: this process answers. /readyz: what it needs answers too, each part by its name.

503 only when requests cannot be served: no database, or not its tables. Without Redis or workers webhooks are
still captured and the API still answers, so that is 200 and `degraded`.

Every part is asked in a thread of its own and waited for no longer than a second, also when the other side is
frozen. While one question hangs, no second one is asked: probes cannot pile up. The page is open to everybody,
so it tells which part fails and never how; that is in the log.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

import psycopg
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, JsonResponse

from executions import heartbeats
from lightfield.kernel import impatient_redis
from lightfield.kernel.db_deadline import DeadlineConnection, answer_within

logger = logging.getLogger(__name__)

LIMIT_SECONDS: Final = 1.0
REDIS_SECONDS: Final = 0.5
OLDEST_HEARTBEAT_SECONDS: Final = 30  # three beats
QUEUES: Final = ("fast", "http", "ai")

Part = dict[str, Any]
Parts = dict[str, Part]
OK: Final[Part] = {"status": "ok"}
UNKNOWN: Final[Part] = {"status": "unknown"}


def livez(_: HttpRequest) -> HttpResponse:
    """200 as long as this process serves requests; asks nobody else."""
    return JsonResponse({"status": "ok"})


def readyz(_: HttpRequest) -> HttpResponse:
    """200 `ok` or `degraded`, or 503 `unavailable`; `parts` names each with its own status."""
    _wanted()  # reading our own migrations takes a moment, once, and is nobody's silence
    ends = time.monotonic() + LIMIT_SECONDS
    answers = [question.ask() for question in QUESTIONS]
    parts: Parts = {}
    for question, answer in zip(QUESTIONS, answers, strict=True):
        parts |= question.answered(answer, ends - time.monotonic())
    needed = (parts["database"]["status"], parts["migrations"]["status"])
    if needed != ("ok", "ok"):
        return JsonResponse({"status": "unavailable", "parts": parts}, status=503)
    is_whole = all(part["status"] == "ok" for part in parts.values())
    return JsonResponse({"status": "ok" if is_whole else "degraded", "parts": parts})


class Question:
    """One thing to ask, at most once at a time."""

    def __init__(self, name: str, check: Callable[[], Parts], *, unanswered: Parts) -> None:
        self._name = name
        self._check = check
        self._unanswered = unanswered
        self._lock = threading.Lock()
        self._pending: Future[Parts] | None = None

    def ask(self) -> Future[Parts]:
        """The answer to come: of the question that is still open, or of a new one."""
        with self._lock:
            if self._pending is None or self._pending.done():
                self._pending = Future()
                asking = threading.Thread(target=self._run, args=(self._pending,), daemon=True)
                asking.name = f"readyz asks {self._name}"
                asking.start()
            return self._pending

    def answered(self, answer: Future[Parts], seconds: float) -> Parts:
        try:
            return answer.result(timeout=max(0, seconds))
        except Exception as error:  # noqa: BLE001  whatever is wrong with a part must not take the page down
            logger.warning("part_not_ready", extra={"part": self._name, "error": type(error).__name__})
            return self._unanswered

    def _run(self, answer: Future[Parts]) -> None:
        try:
            answer.set_result(self._check())
        except Exception as error:  # noqa: BLE001  it is told to whoever waits for the answer
            answer.set_exception(error)


def _ask_database() -> Parts:
    """Database, migrations and workers, over a connection of its own: a busy pool is no fault of the server."""
    params = {**connection.get_connection_params(), "connect_timeout": 1, "cursor_factory": psycopg.Cursor}
    with answer_within(LIMIT_SECONDS), DeadlineConnection.connect(**params, autocommit=True) as database:
        applied = {(app, name) for app, name in database.execute("SELECT app, name FROM django_migrations")}
        missing = sorted(f"{app}.{name}" for app, name in _wanted() - applied)
        if missing:
            return {
                "database": OK,
                "migrations": {"status": "failing", "missing": missing},
                "workers": UNKNOWN,
            }
        ages = dict(database.execute(heartbeats.AGES).fetchall())
    return {"database": OK, "migrations": OK, "workers": _workers(ages)}


def _workers(ages: dict[str, float]) -> Part:
    queues = {queue: ages.get(queue) for queue in QUEUES}
    is_alive = all(age is not None and age <= OLDEST_HEARTBEAT_SECONDS for age in queues.values())
    seconds = {queue: None if age is None else round(age, 1) for queue, age in queues.items()}
    return {"status": "ok" if is_alive else "failing", "seconds_since_heartbeat": seconds}


def _ask_redis() -> Parts:
    client = impatient_redis.client(seconds=REDIS_SECONDS)
    with client:
        client.ping()
    return {"redis": OK}


@functools.cache
def _wanted() -> frozenset[tuple[str, str]]:
    """Every migration of the code that runs here; a process never gets others."""
    loader = MigrationLoader(None)
    return frozenset((app, name) for app, name in loader.graph.nodes)


QUESTIONS: Final = (
    Question(
        "database",
        _ask_database,
        unanswered={"database": {"status": "failing"}, "migrations": UNKNOWN, "workers": UNKNOWN},
    ),
    Question("redis", _ask_redis, unanswered={"redis": {"status": "failing"}}),
)
