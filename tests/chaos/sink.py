"""The far end of every step: notes each request that it has read completely, and only then answers.

The path says how: `/plain/…` acts on every request, `/keys/…` honours the Idempotency-Key. Then `ok`,
`slow-<milliseconds>`, or `flaky-<percent>`: so many are refused with 503 or lose their answer after it acted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import queue
import socket
import threading
import time

from lightfield.local import ports
from tests.chaos.books import Arrival, Books, Peer
from tests.chaos.processes import processes_with_ports

HOST = "127.0.0.1"
BODY = b'{"ok":true}'
HEAD = b"HTTP/1.1 %d Answered\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
FLAKY_SECONDS = 0.03
LOOK_SECONDS = 1.0  # an answer may wait so long until it is known whom it goes to
LIKELY = 6  # callers that are looked at before all other processes


class Sink:
    """Decides what comes of a request, from the seed, its key and how often that key came."""

    def __init__(self, books: Books, *, seed: int) -> None:
        self.books = books
        self.seed = seed
        self.port = ports.any_free(HOST)
        self._acted: set[str] = set()
        self._callers: dict[int, bool] = {}  # processes that called, the last one first
        self._met: queue.SimpleQueue[Peer] = queue.SimpleQueue()
        threading.Thread(target=self._look, name="who-calls", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def listen(self) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            lambda: Conversation(self), HOST, self.port, backlog=2048
        )

    def meet(self, port: int) -> Peer:
        """Somebody connects: which process it is will be found out, soon, on another thread."""
        peer = Peer(port)
        self._met.put(peer)
        return peer

    def _look(self) -> None:
        """All that wait, at once: under load one look at the machine serves many."""
        while True:
            peers = [self._met.get()]
            while not self._met.empty():
                peers.append(self._met.get())
            found: dict[int, int] = {}
            with contextlib.suppress(OSError):
                likely = [*self._callers][:LIKELY]
                found = processes_with_ports({peer.port for peer in peers}, self.port, likely)
            for peer in peers:
                peer.pid = found.get(peer.port)
                peer.is_looked_up = True
                if peer.pid:
                    self._callers.pop(peer.pid, None)
                    self._callers = {peer.pid: True, **self._callers}

    def receive(self, path: str, key: str, body: bytes, peer: Peer) -> tuple[Arrival, float]:
        """Note a request. Returns the note and after how many seconds to answer."""
        _, kind, behaviour = path.split("/")
        name, _, value = behaviour.partition("-")
        said = json.loads(body)
        arrival = Arrival(
            at=time.time(),
            key=key,
            digest=hashlib.sha256(body).hexdigest(),
            operation=f"{said['number']}:{said['step']}",
            honours_keys=kind == "keys",
            peer=peer,
        )
        earlier = self.books.note(arrival) - 1
        arrival.came_of_it = self._outcome(arrival, earlier, int(value) if name == "flaky" else 0)
        return arrival, int(value) / 1000 if name == "slow" else FLAKY_SECONDS if name == "flaky" else 0.0

    def _outcome(self, arrival: Arrival, earlier: int, percent: int) -> str:
        drawn = hashlib.sha256(f"{self.seed}:{arrival.key}:{earlier}".encode()).digest()
        is_bad = drawn[0] * 100 < percent * 256
        if is_bad and drawn[1] % 2:
            return "refused"
        if arrival.honours_keys and arrival.key in self._acted:
            return "repeated"
        self._acted.add(arrival.key)
        return "reset" if is_bad else "acted"


class Conversation(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, sink: Sink) -> None:
        self.sink, self.buffer = sink, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peer = self.sink.meet(transport.get_extra_info("peername")[1])

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, rest = self.buffer.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            body, self.buffer = rest[:length], rest[length:]
            arrival, seconds = self.sink.receive(
                first.split(" ")[1], headers["idempotency-key"], body, self.peer
            )
            asyncio.get_running_loop().call_later(seconds, self._answer, arrival)

    def _answer(self, arrival: Arrival) -> None:
        if self.transport.is_closing():
            return
        if not self.peer.is_looked_up and time.time() < arrival.at + LOOK_SECONDS:
            asyncio.get_running_loop().call_later(
                0.01, self._answer, arrival
            )  # it hangs up once it is answered
            return
        if arrival.came_of_it == "reset":
            linger = self.transport.get_extra_info("socket")
            linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.transport.abort()
            return
        status = 503 if arrival.came_of_it == "refused" else 200
        self.transport.write(HEAD % (status, len(BODY)) + BODY)
