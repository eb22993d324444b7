"""Redis was full, refused to note which messages were taken, and each worker ended at the next message it took.

`bin/chaos --matrix redis-full` found it: an OutOfMemoryError is no error of the connection, so Celery calls it
unrecoverable. Workers need no notes, and now write none: the rows say what is due.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings
from kombu import Connection, Consumer, Producer, Queue

from lightfield import broker


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(settings.REDIS_URL)
    yield client
    client.config_set("maxmemory", 0)
    client.close()


def test_given_a_redis_that_is_full_then_messages_are_still_taken_and_acknowledged(
    server: redis.Redis,
) -> None:
    broker.install()
    queue = f"bug-{secrets.token_hex(8)}"
    taken: list[Any] = []
    with Connection(settings.REDIS_URL) as connection:
        channel: Any = connection.channel()
        headers = {"task": "t", "id": "i"}
        Producer(channel).publish(
            {}, routing_key=queue, serializer="json", headers=headers, declare=[Queue(queue)]
        )

        with Consumer(channel, [Queue(queue)], on_message=taken.append, accept=["json"]):
            server.config_set("maxmemory", 1)
            connection.drain_events(timeout=5)
            taken[0].ack()
        server.config_set("maxmemory", 0)
        channel.queue_delete(queue)

    assert len(taken) == 1
    assert not channel.qos._delivered
