"""The load: webhooks over kept-alive connections, in a closed loop or at a fixed rate.

Bytes are written and read by hand, in one thread: load and sink share the machine with what is measured, and a client
library would cost more than the system's own answer. An open loop sends at its scheduled instants whether or not
the answers keep up, so that a slow answer delays no later request and hides none.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from lightfield.local.ending import Ended, ending

T = TypeVar("T")

CONNECTIONS = 8  # of a closed loop
IDLE_SECONDS = 1.5  # then a connection is not used again: gunicorn closes idle ones after 2 s
ANSWER_SECONDS = 60.0  # after that the answer counts as missing
LOOK_EVERY = 0.2  # seconds, for being told to end


@dataclass(frozen=True)
class Reply:
    """What became of one webhook. `status` is 0 when no answer came."""

    run: str  # the id in its body
    steps: int  # how many requests it asked for
    sent_at: float  # Unix time of its first byte
    seconds: float  # until the whole answer was there
    status: int
    body: bytes
    late: float = 0.0  # seconds behind its scheduled instant, in an open loop

    @property
    def event_id(self) -> str:
        return str(json.loads(self.body)["event_id"])


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.buffer = b""
        self.used_at = 0.0
        self.waiting: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.waiting and not self.waiting.done():
            self.waiting.set_result((0, str(error or "closed").encode()))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        if len(body) >= length and self.waiting and not self.waiting.done():
            self.buffer = b""
            if b"connection: close" in lines:
                self.transport.close()
            self.waiting.set_result((int(head[9:12]), body))

    async def post(self, request: bytes) -> tuple[int, bytes]:
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        try:
            return await asyncio.wait_for(self.waiting, ANSWER_SECONDS)
        except TimeoutError:
            self.transport.abort()
            return 0, b"no answer in time"


class Sender:
    """Sends to one address. Its connections are opened as they are needed and used again, the latest first.

    `sign` makes further lines of headers from a body, each with its end.
    """

    def __init__(self, url: str, *, sign: Callable[[bytes], bytes] | None = None) -> None:
        self.sign = sign
        target = urlsplit(url)
        self.host, self.port = str(target.hostname), int(target.port or 80)
        self.head = (
            f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\n"
            "Content-Length: %d\r\n\r\n"
        ).encode()
        self.idle: list[Connection] = []

    async def send(self, body: dict[str, Any], *, late: float = 0.0) -> Reply:
        raw = json.dumps(body).encode()
        try:
            connection = await self._connection()
        except OSError as error:
            return Reply(body["id"], body["steps"], time.time(), 0.0, 0, str(error).encode(), late)
        sent_at, started = time.time(), time.perf_counter()
        status, answer = await connection.post(self._request(raw))
        seconds = time.perf_counter() - started
        if status and not connection.transport.is_closing():
            connection.used_at = time.monotonic()
            self.idle.append(connection)
        return Reply(body["id"], body["steps"], sent_at, seconds, status, answer, late)

    def _request(self, raw: bytes) -> bytes:
        head = self.head % len(raw)
        return head + raw if self.sign is None else b"%s%s\r\n%s" % (head[:-2], self.sign(raw), raw)

    async def closed_loop(
        self, bodies: Iterable[dict[str, Any]], *, connections: int = CONNECTIONS
    ) -> list[Reply]:
        """Each connection sends its next webhook when the last was answered."""
        waiting, replies = iter(bodies), []

        async def converse() -> None:
            for body in waiting:
                replies.append(await self.send(body))

        await asyncio.gather(*[converse() for _ in range(connections)])
        return replies

    async def open_loop(
        self,
        bodies: Iterable[dict[str, Any]],
        *,
        rate: float,
        seconds: float = float("inf"),
        until: asyncio.Event | None = None,
    ) -> list[Reply]:
        """`rate` webhooks a second for so long, or until the event is set."""
        started, tasks = time.monotonic(), []
        for number, body in zip(itertools.count(), bodies, strict=False):
            due = number / rate
            await asyncio.sleep(max(0.0, started + due - time.monotonic()))
            if due >= seconds or (until and until.is_set()):
                break
            tasks.append(asyncio.create_task(self.send(body, late=time.monotonic() - started - due)))
        return list(await asyncio.gather(*tasks))

    async def _connection(self) -> Connection:
        while self.idle:
            connection = self.idle.pop()
            if not connection.transport.is_closing() and time.monotonic() - connection.used_at < IDLE_SECONDS:
                return connection
            connection.transport.close()
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, self.host, self.port))[1]


def run(sending: Coroutine[Any, Any, T]) -> T:
    """Run the load in this thread.

    Raises:
        Ended: we were told to end meanwhile.
    """

    async def watched() -> T:
        task = asyncio.ensure_future(sending)
        while not task.done():
            await asyncio.wait({task}, timeout=LOOK_EVERY)
            if ending.is_requested():
                task.cancel()
                raise Ended
        return task.result()

    return asyncio.run(watched())
