"""The worker's end of the line to its cell server: orders go out, the ends of cells come back.

Both are JSON objects, one per line, on a pair of connected sockets. An order is answered twice: when its cell
runs (`{"name", "pid"}`) and when that has ended (`{"name", "code"}`; null when it could not be started). The
server sees its worker's death as the end of the line, the worker the server's.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass

from django.conf import settings

logger = logging.getLogger(__name__)

SEND_SECONDS = 5  # for a server that reads nothing
START_SECONDS = 30.0  # for a new interpreter on a busy machine; a fork takes milliseconds
GRACE_SECONDS = 10.0  # between a cell's longest time, which the server keeps, and our own patience
LANES = ("fast", "http", "ai")


@dataclass(frozen=True)
class Order:
    """One cell: what it signs its claims with, its steps, and how long it may take."""

    name: str
    lane: str
    ids: tuple[int, ...]
    seconds: float

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Order:
        """Raises ValueError: this is no order."""
        found = json.loads(line)  # both its errors, of decoding and of parsing, are ValueErrors
        if not isinstance(found, dict) or set(found) != {"name", "lane", "ids", "seconds"}:
            raise ValueError("not the parts of an order")
        name, lane, ids, seconds = found["name"], found["lane"], found["ids"], found["seconds"]
        if not isinstance(name, str) or lane not in LANES or not isinstance(seconds, int | float):
            raise ValueError("a part of an order is of the wrong kind")
        if not isinstance(ids, list) or not ids or not all(type(step_run_id) is int for step_run_id in ids):
            raise ValueError("ids are whole numbers, at least one")
        return cls(name, lane, tuple(ids), float(seconds))


@dataclass
class Awaited:
    """What the worker waits for: the cell's start, then its exit code or None."""

    started: Future[None]
    ended: Future[int | None]

    def note_start(self) -> None:
        if not self.started.done():
            self.started.set_result(None)

    def note_end(self, code: int | None) -> None:
        self.note_start()
        self.ended.set_result(code)


class Server:
    """A running cell server and the orders that it has not answered."""

    def __init__(self, line: socket.socket, pid: int, reap: Callable[[], object]) -> None:
        self.pid = pid
        self._reap = reap
        self._lock = threading.Lock()
        self._awaited: dict[str, Awaited] = {}
        self._is_gone = False
        # Python's own timeout would be for the listening thread too.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))
        self._line = line
        self._listener = threading.Thread(target=self._listen, name="cell-line", daemon=True)
        self._listener.start()

    def order(self, order: Order) -> Awaited:
        """Raises OSError: this server takes no more orders."""
        awaited = Awaited(Future(), Future())
        with self._lock:
            if self._is_gone:
                raise BrokenPipeError("the cell server has ended")
            self._awaited[order.name] = awaited
            try:
                self._line.sendall(order.line())
            except OSError:
                del self._awaited[order.name]
                raise
        return awaited

    def hang_up(self) -> None:
        """No more orders: the server ends when its last cell has."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)

    def has_ended(self, seconds: float) -> bool:
        """Wait for its end, so long at most."""
        self._listener.join(seconds)
        return not self._listener.is_alive()

    def kill(self) -> None:
        """It does not do its work. Its cells go on; nobody will see their ends."""
        with self._lock:
            if not self._is_gone:
                os.kill(self.pid, signal.SIGKILL)

    def _listen(self) -> None:
        try:
            with self._line.makefile("rb") as answers:
                for answer in answers:
                    self._note(json.loads(answer))
        except (OSError, ValueError, KeyError) as error:  # no answer: give the server up
            logger.warning("cell_line_broken", extra={"server": self.pid, "error": str(error)})
        with self._lock:
            self._is_gone = True
            left, self._awaited = self._awaited, {}
        for awaited in left.values():
            awaited.note_end(None)
        self._line.close()
        self._reap()
        logger.info("cell_server_ended", extra={"server": self.pid, "unanswered": len(left)})

    def _note(self, answer: dict[str, object]) -> None:
        name, code = str(answer["name"]), answer.get("code")
        with self._lock:
            awaited = self._awaited.get(name) if "pid" in answer else self._awaited.pop(name, None)
        if awaited is None:
            return
        if "pid" in answer:
            awaited.note_start()
        else:
            awaited.note_end(code if isinstance(code, int) else None)


class CellLine:
    """One per worker process. Starts a server when there is none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: Server | None = None

    def run(self, order: Order) -> int | None:
        """Have a cell do this and wait for its end: its exit code, or minus the signal that ended it.

        None: nobody knows. There was no cell, or whoever would have seen its end is gone.
        """
        try:
            server, awaited = self._place(order)
        except OSError as error:
            logger.warning("cell_not_ordered", extra={"error": str(error)})
            return None
        try:
            self._await_start(server, awaited)
            return awaited.ended.result(timeout=order.seconds + GRACE_SECONDS)
        except TimeoutError:
            return None

    def use(self, server: Server) -> None:
        with self._lock:
            self._server = server

    def close(self, seconds: float = 0.0) -> bool:
        """Give the server up; the next order starts another. Has it ended within so many seconds?"""
        with self._lock:
            server, self._server = self._server, None
        if server is None:
            return True
        server.hang_up()
        return server.has_ended(seconds)

    def _place(self, order: Order) -> tuple[Server, Awaited]:
        with self._lock:
            if self._server is not None:
                try:
                    return self._server, self._server.order(order)
                except OSError as error:
                    logger.warning(
                        "cell_server_lost", extra={"server": self._server.pid, "error": str(error)}
                    )
                    self._server.hang_up()
            self._server = start_server()
            return self._server, self._server.order(order)

    def _await_start(self, server: Server, awaited: Awaited) -> None:
        """Raises TimeoutError: the server is stuck; it has been ended, so that the next order finds another."""
        try:
            awaited.started.result(timeout=START_SECONDS)
        except TimeoutError:
            logger.error("cell_server_stuck", extra={"server": server.pid})
            server.kill()
            raise


def start_server() -> Server:
    """A server in a new interpreter: this process has threads by now, and must not fork. Raises OSError."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "django", "cell_server"],
            stdin=theirs.fileno(),
            env={**os.environ, "DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE},
            cwd=settings.BASE_DIR,
        )
    logger.info("cell_server_started", extra={"server": process.pid})
    return Server(ours, process.pid, process.wait)
