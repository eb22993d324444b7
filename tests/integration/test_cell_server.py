"""The line between a worker and its cell server, with a real server at the other end or none."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from executions import cell_line, cell_server
from executions.cell_line import CellLine, Order, Server
from executions.cell_server import CellServer

ORDER = Order("w:cell:1", "http", (1, 2), 5.0)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(20)
        yield ours, theirs


def test_an_order_read_is_the_order_written() -> None:
    assert Order.read(ORDER.line()) == ORDER


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"name": "n", "lane": "http", "ids": [1]}',
        b'{"name": 1, "lane": "http", "ids": [1], "seconds": 1}',
        b'{"name": "n", "lane": "slow", "ids": [1], "seconds": 1}',
        b'{"name": "n", "lane": "http", "ids": [], "seconds": 1}',
        b'{"name": "n", "lane": "http", "ids": [true], "seconds": 1}',
        b'{"name": "n", "lane": "http", "ids": ["1"], "seconds": 1}',
        b'{"name": "n", "lane": "http", "ids": [1], "seconds": "1"}',
        b"[" * 20_000,
    ],
)
def test_what_is_no_order_starts_nothing(
    line: bytes, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked for that"))
    server = CellServer(ends[1])

    server._obey(line)

    assert server._cells == {}
    server.close()


def test_given_a_machine_that_cannot_fork_then_the_order_is_answered_and_the_server_goes_on(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    server = CellServer(ends[1])

    server._obey(ORDER.line())

    assert json.loads(ends[0].recv(1000)) == {"name": ORDER.name, "code": None}
    server.close()


def test_given_garbage_on_its_line_then_a_real_server_reads_on_and_ends_with_the_line() -> None:
    server = cell_line.start_server()
    server._line.sendall(b"\0\xff" * 100_000 + b"\n{}\n" + b'{"name": "n"}\n')

    awaited = server.order(Order("w:cell:9", "http", (1,), 0.0))  # no such step, and no time

    assert isinstance(awaited.ended.result(timeout=20), int)
    server.hang_up()
    assert server.has_ended(20)


def test_given_a_server_that_dies_when_orders_wait_then_nobody_knows_their_ends() -> None:
    line = CellLine()
    ours, theirs = socket.socketpair()
    line.use(Server(ours, os.getpid(), lambda: None))
    found: list[int | None] = []
    waiting = threading.Thread(target=lambda: found.append(line.run(ORDER)))
    waiting.start()
    with theirs:
        assert Order.read(theirs.recv(1000).strip()) == ORDER
    waiting.join(20)

    assert found == [None]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([{"name": "w:cell:1", "pid": 7}, {"name": "w:cell:1", "code": 0}], 0),
        ([{"name": "w:cell:1", "pid": 7}, {"name": "w:cell:1", "code": -9}], -9),
        ([{"name": "w:cell:1", "code": None}], None),
        (
            [{"name": "another", "code": 1}, {"name": "w:cell:1", "pid": 7}, {"name": "w:cell:1", "code": 1}],
            1,
        ),
    ],
)
def test_the_end_of_a_cell_is_what_its_server_says(
    ends: tuple[socket.socket, socket.socket], answers: list[dict[str, Any]], code: int | None
) -> None:
    ours, theirs = ends
    server = Server(theirs.dup(), os.getpid(), lambda: None)
    theirs.close()

    awaited = server.order(ORDER)
    ours.sendall(b"".join(json.dumps(answer).encode() + b"\n" for answer in answers))

    assert awaited.ended.result(timeout=20) == code
    ours.close()
    assert server.has_ended(20)
    with pytest.raises(OSError, match="has ended"):
        server.order(ORDER)


def test_given_a_server_that_never_answers_then_it_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_line, "START_SECONDS", 0.01)
    line = CellLine()
    server = cell_line.start_server()
    os.kill(server.pid, signal.SIGSTOP)
    line.use(server)

    assert line.run(ORDER) is None
    assert server.has_ended(20)


def test_a_process_with_threads_is_never_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()

    cell_server.prepare()

    stop.set()
    other.join()
    assert not other.is_alive()
