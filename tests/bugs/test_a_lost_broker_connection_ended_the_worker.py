"""Redis was killed under load, and Celery's workers ended with it, and with them every request in their hands.

`bin/chaos --matrix redis-kill` found it: kombu acknowledges messages, or gives them back, through a channel whose
connection it has taken apart, fails with an AttributeError that nobody expects, and the worker calls it unrecoverable.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.conf import settings
from kombu import Connection, Consumer, Producer, Queue

from lightfield import broker


@pytest.fixture
def queue() -> str:
    return f"bug-{uuid.uuid4().hex}"


def holding_a_message(queue: str) -> tuple[Any, Any]:
    """A connection that has taken a message and not acknowledged it."""
    broker.install()
    connection = Connection(settings.REDIS_URL, transport_options={"queue_order_strategy": "sorted"})
    channel: Any = connection.channel()
    Producer(channel).publish(
        {}, routing_key=queue, serializer="json", headers={"task": "t", "id": "i"}, declare=[Queue(queue)]
    )
    with Consumer(channel, [Queue(queue)], callbacks=[lambda body, message: None], accept=["json"]):
        connection.drain_events(timeout=5)
    assert channel.qos._delivered
    return connection, channel


def lose(channel: Any, *, closed: bool) -> None:
    channel._disconnect_pools()
    if closed:
        channel.connection = None
    else:
        channel.connection.client = None  # what kombu's Connection.collect() leaves behind


def test_given_a_connection_taken_apart_when_its_channel_closes_then_nothing_is_raised(queue: str) -> None:
    _, channel = holding_a_message(queue)
    channel.connection.client = None  # what kombu's Connection.collect() leaves behind

    channel.close()
    channel._qos.restore_unacked_once()  # kombu asks again at the end of the process

    assert not channel.qos._delivered


@pytest.mark.parametrize("closed", [False, True], ids=["taken apart", "closed"])
@pytest.mark.parametrize("deed", ["basic_ack", "basic_reject"])
def test_given_a_lost_connection_when_its_message_is_done_then_nobody_is_asked(
    queue: str, deed: str, closed: bool
) -> None:
    _, channel = holding_a_message(queue)
    (tag,) = channel.qos._delivered
    lose(channel, closed=closed)

    getattr(channel, deed)(tag)

    assert channel.qos.can_consume()
    channel.qos._flush()
    assert not channel.qos._delivered


@pytest.mark.parametrize("closed", [False, True], ids=["taken apart", "closed"])
def test_given_a_lost_connection_when_a_message_is_to_be_put_back_then_it_is_forgotten(
    queue: str, closed: bool
) -> None:
    _, channel = holding_a_message(queue)
    (tag,) = channel.qos._delivered
    lose(channel, closed=closed)

    channel.basic_reject(tag, requeue=True)
    channel.basic_reject("another", requeue=True)  # of a channel before

    channel.qos._flush()
    assert not channel.qos._delivered


def test_given_a_connection_that_lives_when_its_channel_closes_then_the_message_goes_back(queue: str) -> None:
    connection, channel = holding_a_message(queue)

    channel.close()

    other: Any = connection.channel()
    assert other.client.llen(queue) == 1
    other.queue_delete(queue)
    connection.release()
