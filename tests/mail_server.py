"""A real SMTP server on loopback, as small as can be: what it took, and what it says instead when told to."""

from __future__ import annotations

import contextlib
import email
import random
import socket
import threading
from collections.abc import Iterator
from email.message import Message


class MailServer:
    """Takes one message after the other. `says` maps a command, e.g. `RCPT`, to an answer in place of the usual one."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[str], Message]] = []  # recipients and message
        self.says: dict[str, str] = {}
        self._listener = _listen()
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), sock:
                self._converse(sock)

    def _converse(self, sock: socket.socket) -> None:
        lines = sock.makefile("rb")
        recipients: list[str] = []
        sock.sendall(b"220 ready\r\n")
        while line := lines.readline():
            command = line[:4].decode().upper().strip()
            if command == "RCPT":
                recipients.append(line.decode().partition("<")[2].partition(">")[0])
            usual = {"DATA": "354 go on", "QUIT": "221 bye"}.get(command, "250 ok")
            answer = self.says.get(command, usual)
            sock.sendall(f"{answer}\r\n".encode())
            if command == "DATA" and answer.startswith("354"):
                raw = b""
                while (line := lines.readline()) not in (b".\r\n", b""):
                    raw += line.removeprefix(b".")
                answer = self.says.get("TAKE", "250 taken")
                if answer.startswith("250"):
                    self.taken.append((recipients, email.message_from_bytes(raw)))
                sock.sendall(f"{answer}\r\n".encode())
                recipients = []
            if command == "QUIT":
                return


def _listen() -> socket.socket:
    """On a free port below the range that outgoing connections take theirs from."""
    for port in random.sample(range(20_000, 32_768), 200):
        listener = socket.socket()
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            continue
        listener.listen()
        return listener
    raise RuntimeError("no free port")


@contextlib.contextmanager
def a_mail_server() -> Iterator[MailServer]:
    server = MailServer()
    try:
        yield server
    finally:
        server.stop()
