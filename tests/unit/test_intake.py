"""Reading a body from a socket: until its end, or until its time is over."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest

from lightfield.kernel.errors import RequestRefused
from lightfield.kernel.slow_senders import Alarm
from triggers import intake

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(autouse=True)
def fresh_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alarm whose readings last equally long, as they do in a real process."""
    monkeypatch.setattr(intake, "_alarm", Alarm())


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A sender and a receiver."""
    sender, receiver = socket.socketpair()
    with sender, receiver:
        yield sender, receiver


def a_request(receiver: socket.socket, length: int) -> WSGIRequest:
    return WSGIRequest(
        {
            "REQUEST_METHOD": "POST",
            "CONTENT_LENGTH": str(length),
            "gunicorn.socket": receiver,
            "wsgi.input": Input(receiver),
        }
    )


class Input:
    """Reads like gunicorn: as many bytes as were asked for, or up to the end."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self._receiver.recv(size - len(data))):
            data += more
        return data

    def readline(self, size: int) -> bytes:
        raise AssertionError("a body has no lines")


def test_a_body_that_is_there_is_read(pair):
    sender, receiver = pair
    sender.sendall(b'{"a":1}')

    assert intake.read_body(a_request(receiver, 7)) == b'{"a":1}'


def test_given_a_sender_that_stops_in_the_middle_then_reading_ends_in_time(pair, monkeypatch):
    monkeypatch.setattr(intake, "BODY_SECONDS", 0.05)
    sender, receiver = pair
    sender.sendall(b"{")

    with pytest.raises(RequestRefused) as refusal:
        intake.read_body(a_request(receiver, 7))

    assert refusal.value.code == "payload.too_slow"
    sender.settimeout(5)
    receiver.sendall(b"408")  # the answer can still be sent
    assert sender.recv(3) == b"408"


def test_given_a_body_that_came_in_time_then_its_connection_is_left_alone_after_the_deadline(
    pair, monkeypatch
):
    monkeypatch.setattr(intake, "BODY_SECONDS", 0.05)
    sender, receiver = pair
    sender.sendall(b"{}")
    intake.read_body(a_request(receiver, 2))

    # A later body runs out of time, so the deadline of the first one is over as well
    slow_sender, slow_receiver = socket.socketpair()
    with slow_sender, slow_receiver, pytest.raises(RequestRefused):
        intake.read_body(a_request(slow_receiver, 2))

    sender.sendall(b"[]")
    assert intake.read_body(a_request(receiver, 2)) == b"[]"


def test_many_bodies_at_once_each_have_their_own_time(monkeypatch):
    monkeypatch.setattr(intake, "BODY_SECONDS", 0.2)
    told: list[Any] = []

    def read_one(is_slow: bool) -> None:
        sender, receiver = socket.socketpair()
        with sender, receiver:
            sender.sendall(b"{" if is_slow else b"{}")
            try:
                told.append(intake.read_body(a_request(receiver, 2)))
            except RequestRefused as refusal:
                told.append(refusal.code)

    readers = [threading.Thread(target=read_one, args=(number % 2 == 0,)) for number in range(20)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(5)

    assert sorted(map(str, told)) == ["b'{}'"] * 10 + ["payload.too_slow"] * 10
