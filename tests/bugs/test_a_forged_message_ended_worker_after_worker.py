"""A message that Celery could not make sense of ended its worker, came back, and ended the next one, for ever."""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from celery import Celery
from django.conf import settings
from kombu import Connection, Exchange, Queue

from lightfield import broker
from lightfield.broker import is_task_message
from lightfield.celery import app

GOOD: dict[str, Any] = {
    "body": "W1tdLCB7fSwge31d",
    "content-encoding": "utf-8",
    "content-type": "application/json",
    "headers": {"task": "executions.sweep", "id": "good", "eta": None, "expires": None, "retries": 0},
    "properties": {
        "delivery_tag": "good",
        "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": "fast"},
    },
}


def forged(*path: str, to: Any) -> dict[str, Any]:
    message = copy.deepcopy(GOOD)
    place = message
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return message


FORGED: list[Any] = [
    [],
    {},
    None,
    7,
    {"body": "x", "headers": {}, "properties": {}},
    forged("headers", to=None),
    forged("headers", "id", to={"a": 1}),
    forged("headers", "id", to=None),
    forged("headers", "task", to=["executions.sweep"]),
    forged("headers", "eta", to="2099-01-01T00:00:00+00:00"),
    forged("headers", "expires", to=[1]),
    forged("headers", "retries", to="x"),
    forged("headers", "timelimit", to=["a", "b"]),
    forged("headers", "stamped_headers", to=["a"]),
    forged("properties", "delivery_tag", to=[]),
    forged("properties", "delivery_info", to=None),
    forged("body", to={"a": 1}),
    forged("content-type", to="application/x-python-serialize"),
]
NO_JSON = [b"", b"garbage", b"\xff\xfe", b"[" * 100_000, b'{"__type__": "datetime", "__value__": "x"}']


@dataclass
class Line:
    """A queue of this test's own, read through the sieve."""

    connection: Connection
    redis: redis.Redis
    queue: str

    def put(self, *raw: bytes) -> None:
        for message in raw:
            self.redis.lpush(self.queue, message)

    def consume(self, on_message: Callable[[Any], None]) -> None:
        """Until there is nothing left."""
        queue = Queue(self.queue, Exchange(self.queue), routing_key=self.queue)
        with self.connection.Consumer([queue], on_message=on_message):
            while True:
                try:
                    self.connection.drain_events(timeout=1)
                except TimeoutError:
                    return

    def left(self) -> int:
        """Messages that wait when the worker has ended, and so has given back what it had in hand."""
        self.connection.close()
        return self.redis.llen(self.queue)  # type: ignore[return-value]


@pytest.fixture
def line() -> Iterator[Line]:
    broker.install()
    name = f"test-{secrets.token_hex(6)}"
    client = redis.Redis.from_url(settings.REDIS_URL)
    with Connection(settings.REDIS_URL) as connection:
        yield Line(connection, client, name)
    client.delete(name, f"_kombu.binding.{name}")
    client.close()


def test_what_our_ringer_and_beat_send_passes() -> None:
    app_message = Celery(set_as_current=False).amqp.as_task_v2("id", "executions.sweep", expires=5.0)
    written = forged("headers", to={**app_message.headers, "stamped_headers": None, "stamps": {}})

    assert is_task_message(GOOD)
    assert is_task_message(written)


@pytest.mark.parametrize("message", FORGED, ids=repr)
def test_a_message_of_another_shape_does_not(message: object) -> None:
    assert not is_task_message(message)


def test_given_garbage_in_front_then_the_message_behind_it_arrives(line: Line) -> None:
    arrived: list[str] = []

    def on_message(message: Any) -> None:
        arrived.append(message.headers["id"])
        message.ack()

    line.put(*NO_JSON, *(json.dumps(message).encode() for message in [*FORGED, GOOD]))
    line.consume(on_message)

    assert arrived == ["good"]
    assert line.left() == 0


def test_given_a_message_that_upsets_the_consumer_then_it_is_dropped_for_good(line: Line) -> None:
    def upset(message: Any) -> None:
        raise TypeError("unhashable type: 'dict'")

    addressed = {"exchange": "", "routing_key": line.queue}
    line.put(json.dumps(forged("properties", "delivery_info", to=addressed)).encode())
    line.consume(upset)

    assert line.left() == 0


def test_the_workers_use_it() -> None:
    with app.connection_for_read() as connection:
        assert connection.transport_cls == "redis"
        assert isinstance(connection.transport, broker.Transport)
