"""The embedded servers of one home, as a pair: start, addresses, stop."""

from __future__ import annotations

import time
from types import TracebackType

from lightfield.local.boot import CannotStart
from lightfield.local.children import has_ended
from lightfield.local.ending import ending
from lightfield.local.home import Home
from lightfield.local.postgres import Postgres
from lightfield.local.supervised import Supervised, stop_all
from lightfield.local.valkey import Valkey

Server = Postgres | Valkey

READY_SECONDS = 120.0  # crash recovery after a kill -9 on a slow disk
STOP_SECONDS = 15.0


class Servers:
    """The servers that a command brings because no URL was given: both, one or none. A context manager.

    The caller holds `home.exclusively`: two servers on one data folder would be one too many.
    """

    def __init__(
        self, home: Home, *, postgres: bool = True, redis: bool = True, durable: bool = True
    ) -> None:
        self.home = home
        self.durable = durable
        self.wanted: list[type[Server]] = [Postgres] if postgres else []
        self.wanted += [Valkey] if redis else []
        self.urls: dict[str, str] = {}  # the environment variables that lead to the servers
        self.running: list[Supervised] = []

    def __enter__(self) -> Servers:
        try:
            for kind in self.wanted:
                server = kind(self.home, durable=self.durable)
                supervised = Supervised(self.home, server.name, server.spawn, server.stop_signal)
                self.running.append(supervised)
                _start(server, supervised)
                self.urls[server.variable] = server.url
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
        stop_all(self.running, grace=STOP_SECONDS)
        self.running.clear()


def _start(server: Server, supervised: Supervised) -> None:
    """Start one server and wait until it answers.

    Raises:
        CannotStart: it ended, or was not ready in time; the message has the end of its log.
    """
    child = supervised.start()
    give_up = time.monotonic() + READY_SECONDS
    while not server.is_ready(child):
        ending.check()
        log = server.home.log_file(server.name)
        if has_ended(child):
            said = server.home.last_lines(server.name)
            raise CannotStart(f"{server.name} cannot start: {said} (see {log})")
        if time.monotonic() >= give_up:
            raise CannotStart(f"{server.name} was not ready in {READY_SECONDS:.0f} s; see {log}")
        time.sleep(0.01)
