"""/livez and /readyz: each part by its name, and never slower than a part that does not answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from executions.models import Heartbeat

pytestmark = pytest.mark.django_db(transaction=True)

QUEUES = ("fast", "http", "ai")


class Silent:
    """A listener that takes connections and never says a word, as a frozen server does."""

    def __init__(self) -> None:
        self.taken: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                self.taken.append(self._listener.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self._listener.close()
        for taken in self.taken:
            taken.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    listener = Silent()
    yield listener
    listener.close()


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def database_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let new connections go to another port; the test's own connection stays."""

    def move(port: int) -> None:
        monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        monkeypatch.setitem(connection.settings_dict, "PORT", str(port))

    return move


@pytest.fixture
def beating() -> None:
    for queue in QUEUES:
        Heartbeat.objects.create(node=f"{queue}@here", queue=queue)


def readyz() -> tuple[int, dict[str, Any], float]:
    began = time.monotonic()
    answer = Client().get("/readyz")
    return answer.status_code, answer.json(), time.monotonic() - began


def statuses(body: dict[str, Any]) -> dict[str, str]:
    return {name: part["status"] for name, part in body["parts"].items()}


def test_livez_asks_nobody(database_at, closed_port, settings):
    settings.REDIS_URL = f"redis://127.0.0.1:{closed_port}/0"
    database_at(closed_port)
    connection.close()

    answer = Client().get("/livez")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert connection.connection is None


def test_ready_with_every_part(beating):
    status, body, _ = readyz()

    assert (status, body["status"]) == (200, "ok")
    assert statuses(body) == dict.fromkeys(("database", "migrations", "redis", "workers"), "ok")
    assert set(body["parts"]["workers"]["seconds_since_heartbeat"]) == set(QUEUES)


def test_database_away(database_at, closed_port):
    database_at(closed_port)

    status, body, seconds = readyz()

    assert (status, body["status"]) == (503, "unavailable")
    assert statuses(body) == {
        "database": "failing",
        "migrations": "unknown",
        "redis": "ok",
        "workers": "unknown",
    }
    assert seconds < 1.5


def test_database_frozen(database_at, silent):
    database_at(silent.port)

    status, body, seconds = readyz()

    assert status == 503
    assert statuses(body)["database"] == "failing"
    assert seconds < 1.5


def test_given_a_frozen_database_then_probes_do_not_pile_up(database_at, silent):
    database_at(silent.port)
    before = threading.active_count()

    for _ in range(3):
        readyz()

    assert len(silent.taken) <= 2
    assert threading.active_count() <= before + 2


def test_a_missing_migration_is_named():
    with forgotten("workflows", "0001_initial"):
        status, body, _ = readyz()

    assert (status, body["status"]) == (503, "unavailable")
    assert body["parts"]["database"]["status"] == "ok"
    assert body["parts"]["migrations"] == {"status": "failing", "missing": ["workflows.0001_initial"]}


def test_redis_away_degrades(settings, closed_port, beating):
    settings.REDIS_URL = f"redis://:secret@127.0.0.1:{closed_port}/0"

    status, body, seconds = readyz()

    assert (status, body["status"]) == (200, "degraded")
    assert statuses(body) == {"database": "ok", "migrations": "ok", "redis": "failing", "workers": "ok"}
    assert "secret" not in str(body)
    assert str(closed_port) not in str(body)
    assert seconds < 1.0


def test_redis_frozen_degrades_within_a_second(settings, silent, beating):
    settings.REDIS_URL = f"redis://127.0.0.1:{silent.port}/0"

    status, body, seconds = readyz()

    assert (status, statuses(body)["redis"]) == (200, "failing")
    assert seconds < 1.5
    # And the question itself is given up, not only no longer waited for
    for asking in threading.enumerate():
        if asking.name == "readyz asks redis":
            asking.join(5)
            assert not asking.is_alive()


@pytest.mark.parametrize("queue", QUEUES)
def test_a_queue_without_a_live_worker_degrades(beating, queue):
    Heartbeat.objects.filter(queue=queue).update(at=Now() - timedelta(seconds=31))

    status, body, _ = readyz()

    assert (status, body["status"]) == (200, "degraded")
    assert body["parts"]["workers"]["status"] == "failing"
    assert body["parts"]["workers"]["seconds_since_heartbeat"][queue] > 30


def test_a_queue_that_never_had_a_worker_degrades():
    _, body, _ = readyz()

    assert body["status"] == "degraded"
    assert body["parts"]["workers"]["seconds_since_heartbeat"] == dict.fromkeys(QUEUES)


@contextmanager
def forgotten(app: str, name: str) -> Iterator[None]:
    """As if the migration had never been applied."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE app = %s AND name = %s RETURNING applied", [app, name]
        )
        (applied,) = cursor.fetchone()
        try:
            yield
        finally:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)", [app, name, applied]
            )
