"""The embedded servers of one home, as a pair: start, addresses, stop."""

from __future__ import annotations

import contextlib
import subprocess
import time
from types import TracebackType

from lightfield.local.boot import CannotStart
from lightfield.local.children import has_ended, stop
from lightfield.local.home import Home
from lightfield.local.postgres import Postgres
from lightfield.local.valkey import Valkey

Server = Postgres | Valkey

READY_SECONDS = 120.0  # crash recovery after a kill -9 on a slow disk
STOP_SECONDS = 15.0


def start(server: Server) -> subprocess.Popen[bytes]:
    """Start one server, write its pid file, wait until it answers.

    Raises:
        CannotStart: it ended, or was not ready in time; the message has the end of its log.
    """
    child = server.spawn()
    server.home.write_pid(server.name, child.pid)
    give_up = time.monotonic() + READY_SECONDS
    while not server.is_ready(child):
        if has_ended(child):
            said = server.home.last_lines(server.name)
            raise CannotStart(f"{server.name} cannot start: {said} (see {server.home.log_file(server.name)})")
        if time.monotonic() >= give_up:
            stop([(child, server.stop_signal)], grace=STOP_SECONDS)
            raise CannotStart(
                f"{server.name} was not ready in {READY_SECONDS:.0f} s; see {server.home.log_file(server.name)}"
            )
        time.sleep(0.01)
    return child


class Servers:
    """The servers that a command brings because no URL was given: both, one or none. A context manager.

    While it is open, nobody else can run servers in the same home.
    """

    def __init__(
        self,
        home: Home,
        command: str,
        *,
        postgres: bool = True,
        redis: bool = True,
        durable: bool = True,
        patience: float = 0,
    ) -> None:
        self.home = home
        self.command = command
        self.durable = durable
        self.patience = patience
        self.wanted: list[type[Server]] = [Postgres] * postgres + [Valkey] * redis  # type: ignore[operator]
        self.running: list[tuple[Server, subprocess.Popen[bytes]]] = []
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Servers:
        try:
            if self.wanted:
                self._held.enter_context(self.home.exclusively(self.command, patience=self.patience))
            for kind in self.wanted:
                server = kind(self.home, durable=self.durable)
                self.running.append((server, start(server)))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop what was started; safe to call again."""
        stop([(child, server.stop_signal) for server, child in self.running], grace=STOP_SECONDS)
        self.running.clear()
        self._held.close()

    @property
    def urls(self) -> dict[str, str]:
        """The environment variables that lead to the servers."""
        names = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}
        return {names[server.name]: server.url for server, _ in self.running}
