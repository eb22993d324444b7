"""What a worker has taken is known to the worker alone: Redis is told nothing, and given back what was not begun."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from kombu import Connection, Exchange, Producer, Queue

from lightfield import broker
from lightfield.celery import app
from lightfield.local.boot import ROOT


@dataclass
class Taker:
    """A channel that takes messages from a queue of its own, as a worker's does."""

    connection: Connection
    redis: redis.Redis
    queue: Queue
    taken: list[Any] = field(default_factory=list)

    @property
    def channel(self) -> Any:
        return self.connection.default_channel

    def publish(self, *names: str) -> None:
        producer = Producer(self.channel, auto_declare=False)
        for name in names:
            producer.publish(
                {}, routing_key=self.queue.name, serializer="json", headers={"task": "t", "id": name}
            )

    def take(self, count: int, *, at_once: int = 0) -> list[str]:
        """The names of so many messages, none of them done yet."""
        self.channel.basic_qos(0, at_once, False)
        before = len(self.taken)
        with self.connection.Consumer([self.queue], on_message=self.taken.append):
            for _ in range(count):
                self.connection.drain_events(timeout=5)
        return [message.headers["id"] for message in self.taken[before:]]

    def waiting(self) -> list[str]:
        """Of what stands in the queue, the next to be taken first."""
        return names_in(self.redis, self.queue.name)


def names_in(client: redis.Redis, queue: str) -> list[str]:
    raw: Any = client.lrange(queue, 0, -1)
    return [json.loads(message)["headers"]["id"] for message in reversed(raw)]


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    with closing(redis.Redis.from_url(settings.REDIS_URL)) as client:
        yield client


@pytest.fixture(params=["by name", "by exchange"])
def taker(request: pytest.FixtureRequest, server: redis.Redis) -> Iterator[Taker]:
    broker.install()
    name = f"test-{secrets.token_hex(6)}"
    exchange = Exchange(name if request.param == "by exchange" else "")
    with Connection(settings.REDIS_URL) as connection:
        yield Taker(connection, server, Queue(name, exchange, routing_key=name))
    server.delete(name, f"_kombu.binding.{name}")


def test_given_a_message_taken_and_done_then_redis_was_asked_for_it_and_told_nothing(
    taker: Taker, server: redis.Redis
) -> None:
    end = secrets.token_hex(6)
    with server.monitor() as monitor:
        taker.publish("one")
        taker.take(1)
        taker.taken[0].ack()
        tag = taker.taken[0].delivery_tag
        server.echo(end)
        heard = []
        while end not in (command := monitor.next_command()["command"]):
            heard.append(command)

    about_it = [command.split()[0] for command in heard if tag in command]
    assert about_it == ["LPUSH"]
    assert sum(command.startswith("BRPOP") and taker.queue.name in command for command in heard) == 1
    assert not server.exists(taker.queue.name, "unacked", "unacked_index", "unacked_mutex")


def test_given_as_many_in_hand_as_may_be_then_the_next_stays_in_its_queue_until_one_is_done(
    taker: Taker,
) -> None:
    taker.publish("one", "two", "three", "four")
    assert taker.take(3, at_once=3) == ["one", "two", "three"]

    # Given three in hand of three, when more is asked for
    with pytest.raises(TimeoutError), taker.connection.Consumer([taker.queue]):
        taker.connection.drain_events(timeout=0.05)
    assert taker.waiting() == ["four"]

    # When one is done
    taker.taken[1].ack()
    assert taker.take(1, at_once=3) == ["four"]


def test_given_messages_in_hand_when_the_channel_closes_then_all_but_the_done_are_first_in_line_again(
    taker: Taker,
) -> None:
    taker.publish("one", "two", "three", "four", "five")
    taker.take(4)
    taker.taken[1].ack()
    taker.taken[2].reject()

    taker.channel.close()

    assert taker.waiting() == ["one", "four", "five"]


def test_given_a_message_given_back_then_the_next_worker_takes_it_for_one_of_ours(taker: Taker) -> None:
    taker.publish("one")
    taker.take(1)
    taker.channel.close()

    (raw,) = taker.redis.lrange(taker.queue.name, 0, -1)  # type: ignore[misc]
    assert broker.is_task_message(json.loads(raw))


def test_given_a_message_refused_for_now_then_it_stands_behind_the_others(taker: Taker) -> None:
    taker.publish("one", "two")
    taker.take(1)

    taker.taken[0].requeue()

    assert taker.waiting() == ["two", "one"]
    taker.channel.close()
    assert taker.waiting() == ["two", "one"]


def test_given_a_full_redis_when_the_channel_closes_then_what_was_in_hand_is_forgotten(
    taker: Taker, server: redis.Redis
) -> None:
    taker.publish("one", "two")
    taker.take(2)
    channel = taker.channel
    server.config_set("maxmemory", 1)
    try:
        taker.taken[0].requeue()
        channel.close()
    finally:
        server.config_set("maxmemory", 0)

    assert not channel._qos._delivered
    assert taker.waiting() == []


TASKS = """
import time
import redis
from celery import shared_task
from celery.signals import worker_init
from django.conf import settings

workers = []

@worker_init.connect
def remember(sender, **_):
    workers.append(sender)

def is_told_to_stop():
    executor = workers[0].pool.executor
    with executor._shutdown_lock:  # held until what nobody has begun is taken out
        return executor._shutdown

@shared_task(name="test.hold")
def hold(name, begun, ended):
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.rpush(begun, name)
    while not is_told_to_stop():
        time.sleep(0.01)
    client.rpush(ended, name)
"""


@pytest.mark.slow
def test_given_a_worker_told_to_stop_then_it_ends_what_it_began_and_gives_the_rest_back_in_order(
    server: redis.Redis, tmp_path: Path
) -> None:
    # Given one of five begun, and two more in the worker's hands
    (tmp_path / "holding.py").write_text(TASKS)
    begun, ended = (f"test-{secrets.token_hex(6)}" for _ in range(2))
    for name in ("1", "2", "3", "4", "5"):
        app.send_task("test.hold", (name, begun, ended), queue="ai", task_id=name)
    worker = a_worker(tmp_path, "-I holding -Q ai -c 1 --prefetch-multiplier 3")
    try:
        give_up = time.monotonic() + 30
        while (server.llen(begun), server.llen("ai")) != (1, 2):
            assert time.monotonic() < give_up, (tmp_path / "log").read_text()

        # When it is told to stop
        worker.terminate()
        worker.wait(30)

        # Then it has ended what it began, and the others stand where they stood
        assert server.lrange(begun, 0, -1) == server.lrange(ended, 0, -1) == [b"1"]
        assert names_in(server, "ai") == ["2", "3", "4", "5"]
    finally:
        worker.kill()
        worker.wait(30)
        server.delete("ai", begun, ended)


def a_worker(folder: Path, options: str) -> subprocess.Popen[bytes]:
    """A real one, which may import what is in `folder` and writes its log there."""
    command = f"-m celery -A lightfield worker --pool=threads --without-gossip --without-mingle {options}"
    environ = {
        **os.environ,
        "REDIS_URL": settings.REDIS_URL,
        "LIGHTFIELD_ROLE": "worker-fast",
        "PYTHONPATH": f"{ROOT}:{folder}",
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *command.split()], cwd=ROOT, env=environ, stdout=log, stderr=log
        )
