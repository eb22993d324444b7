"""Reading a webhook's body: type, size and time are bounded before anything is parsed.

The time is bounded through the socket that gunicorn hands over with the request: at the deadline its reading
half is shut, and a read that waits for a slow sender returns. Other WSGI servers hand over no socket; there
the server's own read timeout is the only bound.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpRequest

from lightfield.kernel.errors import RequestRefused
from lightfield.kernel.strict_json import MAX_BYTES

BODY_SECONDS: Final = 10.0  # from the headers to the last byte of the body
PIECE_BYTES: Final = 64 * 1024
# A sender that is still sending does not read. So that it sees the 413, this much of a body that is too large
# is read and thrown away first; beyond that the connection just ends.
DISCARDED_BYTES: Final = 8 * 1024 * 1024


def read_body(request: HttpRequest) -> bytes:
    """The raw body of a request that says it is JSON, at most 1 MiB.

    Raises:
        RequestRefused: `payload.unsupported_type`, `payload.unsupported_encoding`, `payload.too_large`,
            `payload.too_slow`, `payload.incomplete`, `request.invalid_header`.
    """
    _check_type(request)
    length = _announced_length(request)
    with _reading_ends_after(BODY_SECONDS, request.META.get("gunicorn.socket")) as is_over:
        return _read(request.environ["wsgi.input"].read, length, is_over)  # type: ignore[attr-defined]


def _check_type(request: HttpRequest) -> None:
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity"):
        raise RequestRefused("payload.unsupported_encoding")
    content_type = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if content_type in ("", "application/json", "text/plain"):
        return
    if not content_type.endswith("+json"):
        raise RequestRefused("payload.unsupported_type")


def _announced_length(request: HttpRequest) -> int | None:
    """Content-Length; None for a chunked body, which ends by itself."""
    if request.META.get("HTTP_TRANSFER_ENCODING", "").strip().lower() == "chunked":
        return None
    announced = request.META.get("CONTENT_LENGTH") or "0"
    if not (announced.isascii() and announced.isdigit()):
        raise RequestRefused("request.invalid_header", "Content-Length is not a number.")
    return int(announced)


def _read(read: Callable[[int], bytes], length: int | None, is_over: Callable[[], bool]) -> bytes:
    """Read to the end. The one byte over the limit that tells is never kept."""
    if length is not None and length > DISCARDED_BYTES:
        raise RequestRefused("payload.too_large")
    pieces: list[bytes] = []
    received = 0
    while length is None or received < length:
        wanted = PIECE_BYTES if length is None else min(PIECE_BYTES, length - received)
        try:
            piece = read(wanted)
        except OSError as error:  # the sender is gone, or gunicorn found the chunks to be broken
            raise RequestRefused("payload.too_slow" if is_over() else "payload.incomplete") from error
        if is_over():
            raise RequestRefused("payload.too_slow")
        if not piece:
            break
        received += len(piece)
        if received > DISCARDED_BYTES:
            break
        if received <= MAX_BYTES:
            pieces.append(piece)
        else:
            pieces.clear()
    if received > MAX_BYTES:
        raise RequestRefused("payload.too_large")
    if length is not None and received < length:
        raise RequestRefused("payload.incomplete")
    return b"".join(pieces)


@dataclass
class _Reading:
    """One body being read, and until when (monotonic)."""

    connection: socket.socket
    ends: float
    is_finished: bool = False
    is_over: bool = False


class _Alarm:
    """The thread that ends slow reads: one per process, started by the first body.

    All readings last equally long, so they end in the order in which they began. It sleeps until the oldest
    unfinished one is due and looks at nothing in between: some wake-ups a minute, however many requests.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readings: deque[_Reading] = deque()
        self._thread: threading.Thread | None = None

    def watch(self, reading: _Reading) -> None:
        with self._changed:
            self._readings.append(reading)
            if self._thread is None or not self._thread.is_alive():  # a forked process has no thread yet
                self._thread = threading.Thread(target=self._run, name="slow-bodies", daemon=True)
                self._thread.start()
            elif len(self._readings) == 1:
                self._changed.notify()

    def finish(self, reading: _Reading) -> None:
        with self._changed:
            reading.is_finished = True

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._readings and self._readings[0].is_finished:
                    self._readings.popleft()
                self._changed.wait_for(lambda: self._readings)
                oldest = self._readings[0]
            time.sleep(max(0.0, oldest.ends - time.monotonic()))
            with self._changed:
                # Finished readings are left alone under the lock: their socket may serve the next request.
                if not oldest.is_finished:
                    oldest.is_finished = oldest.is_over = True
                    with suppress(OSError):
                        oldest.connection.shutdown(socket.SHUT_RD)


_alarm = _Alarm()


@contextmanager
def _reading_ends_after(seconds: float, connection: Any) -> Iterator[Callable[[], bool]]:
    """Bound a read. Yields the question whether its time is over."""
    ends = time.monotonic() + seconds
    if not isinstance(connection, socket.socket):
        yield lambda: time.monotonic() >= ends
        return
    reading = _Reading(connection, ends)
    _alarm.watch(reading)
    try:
        yield lambda: reading.is_over
    finally:
        _alarm.finish(reading)
