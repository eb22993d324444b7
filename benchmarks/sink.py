"""The far end of every measured request: a process of its own, so that its CPU can be told apart and left out.

    python -m benchmarks.sink PORT

One asyncio protocol, no framework. `POST /delay/<ms>` with `{"run", "step"}` is answered 200 after so many
milliseconds. `GET /count` is how many requests were answered, `GET /books` is `Books` as JSON, and `POST /forget` begins
anew. `POST /outage/<ms>` is answered the same way, but 503 at once between `POST /fail` and `POST /recover`; `GET /outages` is
every answer of these, `[Unix time, status]`. While a measurement runs, a request only adds one entry to a list; the books are made when they are asked for.
"""

from __future__ import annotations

import asyncio
import collections
import json
import sys
import time
from typing import Any

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
END_OF_HEAD = b"\r\n\r\n"
OTHER_DELAY_MS = 1


class Seen:
    """One request. `answered_at` is Unix time, 0 until then."""

    __slots__ = ("answered_at", "body", "key")

    def __init__(self, key: bytes, body: bytes) -> None:
        self.key, self.body, self.answered_at = key, body, 0.0


seen: list[Seen] = []
answered = 0
is_failing = False
outages: list[tuple[float, int]] = []


class Conversation(asyncio.Protocol):
    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while END_OF_HEAD in self.buffer:
            head, _, rest = self.buffer.partition(END_OF_HEAD)
            lines = head.split(b"\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])
            }
            length = int(headers.get(b"content-length", 0))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            method, path, _ = lines[0].split(b" ", 2)
            if method == b"GET" or path in (b"/forget", b"/fail", b"/recover"):
                self.tell(path)
            else:
                self.take(path, headers.get(b"idempotency-key", b""), rest[:length])

    def take(self, path: bytes, key: bytes, body: bytes) -> None:
        _, what, *value = path.split(b"/")
        if what == b"outage":
            outages.append((time.time(), 503 if is_failing else 200))
            if is_failing:
                self.transport.write(BUSY)
                return
        one = Seen(key, body)
        seen.append(one)
        delay = int(value[0]) if what in (b"delay", b"outage") else OTHER_DELAY_MS
        asyncio.get_running_loop().call_later(delay / 1000, self.answer, one)

    def answer(self, one: Seen) -> None:
        global answered
        one.answered_at = time.time()
        answered += 1
        if not self.transport.is_closing():
            self.transport.write(ANSWER)

    def tell(self, path: bytes) -> None:
        global answered, is_failing
        if path == b"/forget":
            seen.clear()
            outages.clear()
            answered = 0
        elif path in (b"/fail", b"/recover"):
            is_failing = path == b"/fail"
        told = books() if path == b"/books" else outages if path == b"/outages" else answered
        body = json.dumps(told).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)


def books() -> dict[str, Any]:
    """By effect (`<run>/<step>`) how often it was asked for and when it was answered last; by key, how often."""
    effects: dict[str, list[float]] = {}
    keys: collections.Counter[str] = collections.Counter()
    for one in seen:
        body = json.loads(one.body)
        effect = effects.setdefault(f"{body['run']}/{body['step']}", [0, 0.0])
        effect[0] += 1
        effect[1] = max(effect[1], one.answered_at)
        keys[one.key.decode("latin-1")] += 1
    return {"effects": effects, "keys": keys}


async def listen(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Conversation, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(listen(int(sys.argv[1])))
