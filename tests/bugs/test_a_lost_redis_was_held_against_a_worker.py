"""bin/up asks workers through Redis. A connection that broke while the answer was awaited counted as the worker's silence.

Two in a row, and a healthy worker with every request in its hands was killed. Seen in a soak: tracebacks of
redis.exceptions.ConnectionError, which is no OSError and which kombu wraps only while it connects.
"""

from __future__ import annotations

from typing import Any

import pytest
from celery.app.control import Control
from redis.exceptions import ConnectionError as RedisConnectionError

from lightfield.local.health import problem_of


def test_given_a_connection_that_breaks_when_a_worker_is_asked_then_it_is_not_to_blame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise RedisConnectionError("Error while reading: (104, 'Connection reset by peer')")

    monkeypatch.setattr(Control, "ping", breaks)

    assert problem_of("worker-http", {"REDIS_URL": "redis://127.0.0.1:1/0"}) == ""
