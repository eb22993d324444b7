"""Reads from a socket that end at a deadline, however slowly the other side sends.

A timeout of the socket would begin anew with every byte. At the deadline the reading half of the socket is shut
instead, and the read that waits returns as if the sender had gone; the answer can still be written.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any


@dataclass
class Reading:
    """One body being read, and until when (monotonic)."""

    connection: socket.socket
    ends: float
    is_finished: bool = False
    is_over: bool = False


class Alarm:
    """Ends slow reads, by one thread that the first reading starts.

    All readings last equally long, so they end in the order in which they began. It sleeps until the oldest
    unfinished one is due and looks at nothing in between: some wake-ups a minute, however many requests.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readings: deque[Reading] = deque()
        self._thread: threading.Thread | None = None

    def _watch(self, reading: Reading) -> None:
        with self._changed:
            self._readings.append(reading)
            if self._thread is None or not self._thread.is_alive():  # a forked process has no thread yet
                self._thread = threading.Thread(target=self._run, name="slow-bodies", daemon=True)
                self._thread.start()
            elif len(self._readings) == 1:
                self._changed.notify()

    def _finish(self, reading: Reading) -> None:
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

    @contextmanager
    def set_for(self, seconds: float, connection: Any) -> Iterator[Callable[[], bool]]:
        """Bound the reads of a block; always by the same number of seconds. Yields the question whether its time is over."""
        ends = time.monotonic() + seconds
        if not isinstance(connection, socket.socket):
            yield lambda: time.monotonic() >= ends
            return
        reading = Reading(connection, ends)
        self._watch(reading)
        try:
            yield lambda: reading.is_over
        finally:
            self._finish(reading)
