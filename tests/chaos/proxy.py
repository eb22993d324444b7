"""The line between the installation and a server: it can pass, freeze, refuse, reset, and swallow an answer."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from lightfield.local import ports
from tests.chaos.conversation import Conversation
from tests.chaos.outside import Outside

HOST = "127.0.0.1"
PIECE = 65536
CLOSE_HARD = b"\1\0\0\0\0\0\0\0"  # SO_LINGER on, 0 s: a reset instead of an orderly end

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Line:
    """One connection through the proxy. `talk` is None where nobody listens in (Redis)."""

    def __init__(self, near: Stream, far: Stream, talk: Conversation | None) -> None:
        self.near, self.far, self.talk = near, far, talk
        self.near_port: int = near[1].get_extra_info("peername")[1]
        self.swallows = ""  # the kind of transaction whose answer is awaited, to be lost
        self.held_back = b""  # of that answer

    def reset(self) -> None:
        for _, writer in (self.near, self.far):
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_HARD)
            writer.transport.abort()


class Proxy:
    """Listens on a loopback port of its own. Faults are set from other threads."""

    def __init__(
        self,
        outside: Outside,
        dial: Callable[[], Awaitable[Stream]],
        *,
        listens_in: bool,
        on_fault: Callable[[], object] = lambda: None,
    ) -> None:
        self.port = ports.any_free(HOST)
        self._on_fault = on_fault
        self.swallowed: collections.Counter[str] = collections.Counter()
        self._outside = outside
        self._dial = dial
        self._listens_in = listens_in
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_refusing = False
        self._to_swallow: collections.Counter[str] = collections.Counter()
        self._lines: set[Line] = set()
        outside.run(self._listen())

    # --- from other threads ---

    def freeze(self) -> None:
        """Nothing gets through any more, and nobody is told."""
        self._on_fault()
        self._do(self._flows.clear)

    def refuse(self) -> None:
        """Break every connection and accept no new one."""
        self._is_refusing = True
        self.reset()

    def reset(self) -> None:
        """Break every connection; new ones are welcome."""
        self._on_fault()
        self._do(self._reset_all)

    def mend(self) -> None:
        if self._is_refusing or not self._flows.is_set():
            self._on_fault()  # until now
        self._is_refusing = False
        self._to_swallow.clear()
        self._do(self._flows.set)

    def swallow(self, kind: str, times: int) -> None:
        """Deliver the next `times` transactions of a kind, wait until they are committed, and lose the answers.

        One that failed or changed nothing does not count; its answer is passed on.
        """
        self._to_swallow[kind] += times

    def is_to_swallow(self, kind: str) -> bool:
        """Whether one of this kind is still awaited, or its answer is."""
        return self._to_swallow[kind] > 0 or any(line.swallows == kind for line in [*self._lines])

    def port_behind(self, backend: int) -> int | None:
        """The client's port of the line to this PostgreSQL backend."""
        return next(
            (line.near_port for line in [*self._lines] if line.talk and line.talk.backend == backend), None
        )

    def _do(self, what: Callable[[], None]) -> None:
        self._outside.loop.call_soon_threadsafe(what)

    # --- on the loop ---

    async def _listen(self) -> None:
        await asyncio.start_server(self._serve, HOST, self.port, backlog=1024)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_refusing:
            writer.transport.abort()
            return
        try:
            far = await self._dial()
        except OSError:
            writer.transport.abort()
            return
        line = Line((reader, writer), far, Conversation() if self._listens_in else None)
        self._lines.add(line)
        both = [asyncio.ensure_future(self._ask(line)), asyncio.ensure_future(self._tell(line))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._lines.discard(line)
            for _, end in (line.near, line.far):
                end.close()
            for flow in both:
                flow.cancel()

    async def _ask(self, line: Line) -> None:
        with contextlib.suppress(OSError):
            while data := await line.near[0].read(PIECE):
                await self._flows.wait()
                kind = line.talk.ask(data) if line.talk else ""
                if kind and self._to_swallow[kind] > 0:
                    self._to_swallow[kind] -= 1
                    line.swallows = kind
                line.far[1].write(data)
                await line.far[1].drain()

    async def _tell(self, line: Line) -> None:
        with contextlib.suppress(OSError):
            while data := await line.far[0].read(PIECE):
                await self._flows.wait()
                is_ready = line.talk.tell(data) if line.talk else False
                if line.swallows and not self._passes_on(line, data, is_ready=is_ready):
                    continue
                line.near[1].write(line.held_back or data)
                line.held_back = b""
                await line.near[1].drain()

    def _passes_on(self, line: Line, data: bytes, *, is_ready: bool) -> bool:
        """Keep the answer until it is whole; then lose it and the line, or pass all of it on."""
        line.held_back += data
        if not is_ready:
            return False
        kind, line.swallows = line.swallows, ""
        if line.talk is not None and not line.talk.has_changed:
            self._to_swallow[kind] += 1
            return True
        self.swallowed[kind] += 1
        line.reset()
        return False

    def _reset_all(self) -> None:
        for line in self._lines:
            line.reset()


def to_socket(path: str) -> Callable[[], Awaitable[Stream]]:
    return lambda: asyncio.open_unix_connection(path)


def to_port(port: int) -> Callable[[], Awaitable[Stream]]:
    return lambda: asyncio.open_connection(HOST, port)
