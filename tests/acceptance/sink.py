"""The far end of acceptance tests: a small asyncio server in a thread of the test, with books of its own.

The path says what to answer: `/ok`, `/delay/<milliseconds>`, `/status/<code>`.
"""

from __future__ import annotations

import asyncio
import collections
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ANSWER = (
    b"HTTP/1.1 %d Whatever\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}'
)


class Sink:
    """Counts requests by path and idempotency key, and how many were open at once."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: collections.Counter[tuple[str, str]] = collections.Counter()
        self.open = 0
        self.most_open = 0

    def keys(self, path: str) -> collections.Counter[str]:
        """How often each idempotency key came to a path."""
        return collections.Counter({key: n for (where, key), n in self.seen.items() if where == path})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Conversation(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self.sink, self.buffer = sink, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:])
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.note(lines[0].split(" ")[1], headers.get("idempotency-key", ""))

    def note(self, path: str, key: str) -> None:
        self.sink.seen[path, key] += 1
        self.sink.open += 1
        self.sink.most_open = max(self.sink.most_open, self.sink.open)
        _, what, *value = path.split("/")
        delay = int(value[0]) / 1000 if what == "delay" else 0
        status = int(value[0]) if what == "status" else 200
        asyncio.get_running_loop().call_later(delay, self.answer, status)

    def answer(self, status: int) -> None:
        self.sink.open -= 1
        if not self.transport.is_closing():
            self.transport.write(ANSWER % status)


@contextmanager
def running() -> Iterator[Sink]:
    """A sink on a free loopback port, until the block ends."""
    sink = Sink()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        loop.create_server(lambda: Conversation(sink), "127.0.0.1", 0, backlog=2048)
    )
    sink.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="sink", daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
