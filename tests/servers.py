"""Real servers on loopback for tests of what goes out: scripted answers, and what arrived."""

from __future__ import annotations

import contextlib
import errno
import gzip
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Script = Callable[["Visit"], None]


@dataclass
class Received:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    connection: int  # the how-manieth connection it came by, from 1
    head: bytes = field(repr=False, default=b"")


class Visit:
    """One connection to the server, as a script sees it."""

    def __init__(self, sock: socket.socket, number: int, server: Server) -> None:
        self.sock = sock
        self.number = number
        self.stopped = server.stopped
        self._log = server.requests
        self._rest = b""

    def receive(self) -> Received | None:
        """Read one request; None when the client closed."""
        while b"\r\n\r\n" not in self._rest:
            if not self._read_more():
                return None
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(self._rest) < length:
            if not self._read_more():
                return None
        body, self._rest = self._rest[:length], self._rest[length:]
        received = Received(method, path, headers, body, self.number, head)
        self._log.append(received)
        return received

    def send(self, raw: bytes) -> None:
        self.sock.sendall(raw)

    def drip(self, raw: bytes, *, every_seconds: float = 0.05) -> None:
        """Send byte by byte, until the client is gone."""
        for position in range(len(raw)):
            if self.stopped.wait(every_seconds):
                return
            self.sock.sendall(raw[position : position + 1])

    def _read_more(self) -> bool:
        data = self.sock.recv(65536)
        self._rest += data
        return bool(data)


class Server:
    """Listens on one loopback address and plays `script` for every connection, each on a thread."""

    def __init__(self, script: Script, *, host: str, port: int | None, tls: ssl.SSLContext | None) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.stopped = threading.Event()
        self.host = host
        self._script = script
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = _listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.endpoint}"

    def stop(self) -> None:
        self.stopped.set()
        for sock in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), sock:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            with sock:
                self._script(Visit(sock, number, self))


def _listen(host: str, wanted: int | None) -> socket.socket:
    """On the port wanted, else on a free one below the range that outgoing connections take theirs from."""
    for port in [wanted] if wanted else random.sample(range(20_000, 32_768), 200):
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            listener.close()
            if wanted or error.errno == errno.EADDRNOTAVAIL:  # no such address on this machine
                raise
            continue
        listener.listen(1024)
        return listener
    raise RuntimeError("no free port")


@contextlib.contextmanager
def a_server(
    script: Script,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Server]:
    server = Server(script, host=host, port=port, tls=tls)
    try:
        yield server
    finally:
        server.stop()


def answering(*answers: bytes) -> Script:
    """Answer the requests of a connection in turn; the last answer is repeated."""

    def script(visit: Visit) -> None:
        waiting = list(answers)
        while visit.receive() is not None:
            visit.send(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return script


def once(answer: bytes) -> Script:
    """Answer one request, then close the connection."""

    def script(visit: Visit) -> None:
        visit.receive()
        visit.send(answer)

    return script


def gzipped(body: bytes) -> bytes:
    """Without the time of day: the bytes may be in a test's name, which has to be the same in every process."""
    return gzip.compress(body, mtime=0)


def http(status: str = "200 OK", body: bytes = b"", **headers: str) -> bytes:
    """An answer with its Content-Length; `x_kind="a"` becomes `x-kind: a`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
