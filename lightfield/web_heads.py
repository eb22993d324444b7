"""How much of a request has arrived: a look at what the kernel keeps for a connection, which takes nothing away.

A connection whose request is not there yet is told (SO_RCVLOWAT) how many bytes it should wake us for.
"""

from __future__ import annotations

import fcntl
import re
import select
import socket
import struct
import termios
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

PEEK_BYTES: Final = 16 * 1024  # what a head of usual length has room in
AWAITED_BYTES: Final = 128 * 1024  # of head and body together, that the kernel may keep for us
END_OF_HEAD: Final = b"\r\n\r\n"
LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*0*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
MOST_DIGITS: Final = 12
CHUNK: Final = re.compile(rb"([0-9a-f]{1,6})\r\n", re.IGNORECASE)
CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)
# What only a conversation settles: a body in a coding, or a sender that waits to be asked for it.
UNSETTLED: Final = re.compile(rb"\r\n(?:transfer-encoding|expect):", re.IGNORECASE)


class State(Enum):
    WHOLE = auto()  # a thread reads it without waiting; or there is nothing to wait for, it has ended
    HEAD_MISSING = auto()
    BODY_MISSING = auto()
    UNFORESEEN = auto()  # only reading tells when it ends, or it is too large to be kept by the kernel


@dataclass(frozen=True)
class Seen:
    state: State
    there: int = 0  # bytes
    wanted: int = 0  # bytes that there have to be


def look(connection: socket.socket) -> Seen:
    try:
        peeked = connection.recv(PEEK_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return Seen(State.HEAD_MISSING, 0, 1)
    except OSError:
        return Seen(State.WHOLE)  # gthread knows what to do about it
    if not peeked:
        return Seen(State.WHOLE)
    end = peeked.find(END_OF_HEAD)
    if end < 0:
        if len(peeked) >= PEEK_BYTES:
            return Seen(State.UNFORESEEN)
        return Seen(State.HEAD_MISSING, len(peeked), len(peeked) + 1)
    head = peeked[: end + 2]
    body = end + len(END_OF_HEAD)
    if unsettled := UNSETTLED.findall(head):
        is_whole = len(unsettled) == 1 and CHUNKED.search(head) and _are_chunks_there(peeked, body)
        return Seen(State.WHOLE if is_whole else State.UNFORESEEN)
    announced = LENGTH.search(head)
    if announced is None:
        return Seen(State.WHOLE)
    if len(announced[1]) > MOST_DIGITS:
        return Seen(State.UNFORESEEN)
    return _with_body(connection, len(peeked), body + int(announced[1]))


def _are_chunks_there(peeked: bytes, place: int) -> bool:
    """Whether all chunks of a body have arrived, the last one included. A body that only looks so is read by a thread."""
    while chunk := CHUNK.match(peeked, place):
        size = int(chunk[1], 16)
        place = chunk.end() + size + 2
        if size == 0:
            return peeked[chunk.end() : place] == b"\r\n"
    return False


def _with_body(connection: socket.socket, peeked: int, wanted: int) -> Seen:
    if wanted <= peeked:
        return Seen(State.WHOLE)
    if wanted > AWAITED_BYTES:
        return Seen(State.UNFORESEEN)
    there = peeked if peeked < PEEK_BYTES else _available(connection)
    return Seen(State.WHOLE if there >= wanted else State.BODY_MISSING, there, wanted)


def _available(connection: socket.socket) -> int:
    return int(struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.FIONREAD, b"\0" * 4))[0])


def wake_at(conn: Any, wanted: int) -> None:
    """Let the poller sleep until so many bytes are there, or the other side has ended."""
    if getattr(conn, "wakes_at", 1) != wanted:
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
        conn.wakes_at = wanted


def comes_within(connection: socket.socket, seconds: float) -> bool:
    """Whether what it was told to wake us for arrives so soon."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(seconds * 1000))
