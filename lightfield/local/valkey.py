"""The embedded Valkey (Redis protocol): on loopback, with a password, appending to a file every second.

TCP and not a unix socket, because one REDIS_URL has to serve redis-py, Celery and Flower alike. Settings go
in by standard input, so the password shows in no list of processes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess

from lightfield.local import ports, programs
from lightfield.local.children import Child, can_read_processes, end_all, spawn, working_in
from lightfield.local.home import Home
from lightfield.local.ownership import data_folder

HOST = "127.0.0.1"
PROGRAM_NAMES = ("valkey-server", "redis-server")


class Valkey:
    """One Valkey server in a home. `durable=False` keeps nothing on disk (tests)."""

    name = "redis"
    variable = "REDIS_URL"
    stop_signal = signal.SIGTERM

    def __init__(self, home: Home, *, durable: bool = True) -> None:
        self.home = home
        self.durable = durable
        self.account = programs.server_account(home)
        self.program = programs.reachable(home, self.account, programs.valkey())
        self.data = data_folder(home, self.name, self.account)
        self.password = home.keep("redis_password", lambda: secrets.token_urlsafe(24))
        self._end_orphans()  # or our own port would seem taken
        self.port = ports.kept(home, "redis_port", HOST)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server; it is ready when `is_ready` says so."""
        self._end_orphans()
        child = spawn(
            [self.program, "-"],
            cwd=self.data,
            environ={"PATH": os.defpath, "LC_ALL": "C"},
            output=self.home.open_log(self.name),
            when_parent_dies=self.stop_signal,
            account=self.account,
            stdin=subprocess.PIPE,
        )
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once: whoever waits for it will see that
            child.stdin.write(self._settings().encode())
            child.stdin.close()
        return child

    def _settings(self) -> str:
        settings = [
            f"bind {HOST}",
            f"port {self.port}",
            f"requirepass {self.password}",
            "maxmemory-policy noeviction",  # Celery loses messages under any other
            'save ""',
            "appendonly yes" if self.durable else "appendonly no",
            "appendfsync everysec",
        ]
        return "\n".join(settings) + "\n"

    def is_ready(self, child: Child) -> bool:
        """Whether it answers PING; while it reads its file it answers -LOADING."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\n") < 2 and (part := connection.recv(200)):
                    answer += part
        except OSError:
            return False
        return child.returncode is None and answer.startswith(b"+OK\r\n+PONG")

    def _end_orphans(self) -> None:
        if can_read_processes():
            end_all(lambda: working_in(self.data, PROGRAM_NAMES), first=signal.SIGTERM, grace=5)
