"""A TCP proxy in front of a server, for tests in which the line between the two fails."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db import connection

from tests.servers import _listen

Dial = Callable[[], socket.socket]


@dataclass
class _Line:
    """One connection through the proxy."""

    near: socket.socket
    far: socket.socket
    is_losing_answers: bool = False

    def end(self) -> None:
        _end(self.near)
        _end(self.far)


class Proxy:
    """Passes bytes on, until it is told to do something else with them."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._flows = threading.Event()
        self._flows.set()
        self._is_refusing = False
        self._marker: bytes | None = None
        self._lock = threading.Lock()
        self._lines: list[_Line] = []
        self._listener = _listen("127.0.0.1", None)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Nothing gets through any more, and nobody is told."""
        self._flows.clear()

    def refuse(self) -> None:
        """Break every connection and accept no new one."""
        self._is_refusing = True
        self._break_all()

    def mend(self) -> None:
        self._is_refusing = False
        self._flows.set()

    def lose_the_answer_to(self, marker: bytes) -> None:
        """Deliver the next request that holds `marker`, then lose its answer and break the connection."""
        self._marker = marker

    def stop(self) -> None:
        self._flows.set()
        self.refuse()
        _end(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_refusing:
                near.close()
                continue
            try:
                far = self._dial()
            except OSError:
                near.close()
                continue
            line = _Line(near, far)
            with self._lock:
                self._lines.append(line)
            threading.Thread(target=self._pass_requests, args=(line,), daemon=True).start()
            threading.Thread(target=self._pass_answers, args=(line,), daemon=True).start()

    def _pass_requests(self, line: _Line) -> None:
        with contextlib.suppress(OSError):
            while data := line.near.recv(65536):
                self._flows.wait()
                if self._marker and self._marker in data:
                    self._marker = None
                    line.is_losing_answers = True
                line.far.sendall(data)
        line.end()

    def _pass_answers(self, line: _Line) -> None:
        with contextlib.suppress(OSError):
            while data := line.far.recv(65536):
                self._flows.wait()
                if line.is_losing_answers:
                    break
                line.near.sendall(data)
        line.end()

    def _break_all(self) -> None:
        with self._lock:
            broken, self._lines = self._lines, []
        for line in broken:
            line.end()


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def dial_postgresql() -> socket.socket:
    """Where Django's own connection leads: a socket in a folder, or a host and port."""
    params = connection.get_connection_params()
    host, port = str(params["host"]), int(params.get("port", 5432))
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"{host}/.s.PGSQL.{port}")
    return sock


@contextlib.contextmanager
def a_proxy(dial: Dial) -> Iterator[Proxy]:
    proxy = Proxy(dial)
    try:
        yield proxy
    finally:
        proxy.stop()
