"""Races, staged instead of slept for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection


def race(*contenders: Callable[[], Any]) -> list[Any]:
    """Start all contenders at the same instant, each on a database connection of its own.

    Returns each one's result, or the exception it raised, in the order given.
    """
    start = threading.Barrier(len(contenders))

    def run(contender: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()  # connecting takes longer than what is raced
            start.wait(timeout=10)
            return contender()
        except Exception as error:  # noqa: BLE001  the test asserts on it
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(contenders)) as pool:
        return list(pool.map(run, contenders))


def wait_until_blocked(count: int = 1) -> None:
    """Return once `count` other connections to this database wait for a lock."""
    with connection.cursor() as cursor:
        for _ in range(500):
            cursor.execute(
                "SELECT pg_sleep(0.01), pg_stat_clear_snapshot(), count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            if cursor.fetchone()[2] >= count:
                return
    raise AssertionError("nobody waited")


def wait_until_alone() -> None:
    """Return once PostgreSQL has ended what processes that died had begun: nobody else is connected to this database."""
    with connection.cursor() as cursor:
        for _ in range(500):
            cursor.execute(
                "SELECT pg_sleep(0.01), pg_stat_clear_snapshot(), count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            if cursor.fetchone()[2] == 0:
                return
    raise AssertionError("somebody is still there")
