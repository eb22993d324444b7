"""The line between Django and PostgreSQL, for tests in which it breaks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from tests.proxy import Proxy, a_proxy


@contextmanager
def django_through_a_proxy() -> Iterator[Proxy]:
    """New connections of every thread go through the proxy; this thread's present one is closed."""
    given = connection.get_connection_params()
    host, port = str(given.get("host") or "127.0.0.1"), int(given.get("port") or 5432)

    def dial() -> socket.socket:
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(f"{host}/.s.PGSQL.{port}")
        return sock

    with a_proxy(dial) as proxy, _leading_to("127.0.0.1", proxy.port):
        yield proxy


@contextmanager
def no_database() -> Iterator[None]:
    """No thread gets a new connection; this thread's present one is closed."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: connecting is refused
        with _leading_to("127.0.0.1", reserved.getsockname()[1]):
            yield


@contextmanager
def _leading_to(host: str, port: int) -> Iterator[None]:
    settings: Any = connection.settings_dict  # one dictionary for all threads
    before = {name: settings[name] for name in ("HOST", "PORT", "OPTIONS")}
    connection.close()
    options = {name: value for name, value in before["OPTIONS"].items() if name not in ("host", "port")}
    settings.update(HOST=host, PORT=port, OPTIONS={**options, "sslmode": "disable", "connect_timeout": 2})
    try:
        yield
    finally:
        settings.update(before)
        connection.close()
