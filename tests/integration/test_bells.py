"""Bells over a real Redis: coalesced, dropped when they must be, never in the way of whoever rings."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from celery import current_app
from django.conf import settings
from kombu import Connection, Producer

from lightfield.kernel import bells, wire
from lightfield.kernel.bells import Bell, Ringer
from tests.bellboy import Bellboy
from tests.proxy import Proxy, a_proxy


class Tower:
    """A real ringer, and a queue and a topic of this test's own in the Redis that the tests were given."""

    def __init__(self) -> None:
        self.name = f"test-{secrets.token_hex(6)}"
        self.redis = redis.Redis.from_url(settings.REDIS_URL)
        self.ringer = Ringer()

    def bell(self, *args: Any, topic: bool = False, **more: Any) -> Bell:
        return Bell("executions.admit", self.name, args, topic=self.name if topic else None, **more)

    def ring(self, *args: Any, **more: Any) -> None:
        bells._ringer.ring(self.bell(*args, **more))

    def messages(self) -> list[dict[str, Any]]:
        """What a worker of the queue would take, in its order."""
        return [json.loads(message) for message in reversed(self.redis.lrange(self.name, 0, -1))]

    def args(self) -> list[str]:
        return [message["headers"]["argsrepr"] for message in self.messages()]


@pytest.fixture
def tower(bellboy: Bellboy) -> Iterator[Tower]:
    tower = Tower()
    before = bells.use(tower.ringer)
    bells._hang_up()
    yield tower
    bells.use(before)
    bells._hang_up()
    tower.redis.delete(tower.name, f"lightfield:bell:{tower.name}")
    tower.redis.close()


def redis_behind(address: str, settings: Any) -> None:
    settings.REDIS_URL = urlsplit(settings.REDIS_URL)._replace(netloc=address).geturl()


@pytest.fixture
def line(tower: Tower, settings: Any) -> Iterator[Proxy]:
    """A proxy between the ringer and Redis."""
    real = urlsplit(settings.REDIS_URL)
    with a_proxy(lambda: socket.create_connection((real.hostname or "", real.port or 6379))) as proxy:
        user, at, _ = real.netloc.rpartition("@")
        redis_behind(f"{user}{at}127.0.0.1:{proxy.port}", settings)
        yield proxy


def test_a_message_says_what_flower_shows_and_expires(tower: Tower) -> None:
    tower.ring(7, retries=3, shown="(call #7)")
    assert bells.flush(5)

    (message,) = tower.messages()
    headers = message["headers"]
    assert (headers["task"], headers["retries"], headers["argsrepr"]) == ("executions.admit", 3, "(call #7)")
    assert headers["ignore_result"]
    assert headers["expires"] is not None
    assert message["content-type"] == "application/json"


def test_given_a_topic_whose_message_is_on_its_way_when_it_is_rung_again_then_nothing_is_sent(
    tower: Tower,
) -> None:
    for _ in range(5):
        tower.ring(1, topic=True)
        assert bells.flush(5)

    assert len(tower.messages()) == 1


def test_given_a_busy_topic_when_its_handler_began_to_look_then_the_next_bell_is_sent_and_those_after_it_not(
    tower: Tower,
) -> None:
    for _ in range(3):  # the third asks for the flag alone
        tower.ring(1, topic=True)
        assert bells.flush(5)

    bells.answered(tower.name)
    for number in (2, 3, 4):
        tower.ring(number, topic=True)
        assert bells.flush(5)

    assert tower.args() == ["(1,)", "(2,)"]


def test_given_a_handler_that_began_to_look_when_rung_then_a_new_message_is_sent(tower: Tower) -> None:
    tower.ring(1, topic=True)
    assert bells.flush(5)

    bells.answered(tower.name)
    tower.ring(2, topic=True)
    assert bells.flush(5)

    assert tower.args() == ["(1,)", "(2,)"]


def test_the_sweepers_bell_ignores_the_flag_of_a_message_that_may_be_lost(tower: Tower) -> None:
    tower.ring(1, topic=True)
    assert bells.flush(5)

    tower.ring(1, topic=True, forced=True)
    assert bells.flush(5)

    assert len(tower.messages()) == 2


def test_the_flag_goes_away_by_itself(tower: Tower) -> None:
    tower.ring(1, topic=True)
    assert bells.flush(5)

    assert 0 < int(tower.redis.ttl(f"lightfield:bell:{tower.name}")) <= bells.FLAG_SECONDS


def test_bells_with_ids_are_never_merged(tower: Tower) -> None:
    for _ in range(3):
        tower.ring([1, 2])
    assert bells.flush(5)

    assert len(tower.messages()) == 3


def test_given_redis_down_when_rung_then_nobody_notices_and_the_breaker_opens(
    tower: Tower, line: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "OPEN_SECONDS", (3600.0,))
    line.refuse()
    for number in range(10):
        tower.ring(number, topic=number % 2 == 0)
    assert bells.flush(20)

    line.mend()
    tower.ring(10)
    assert bells.flush(5)

    assert tower.messages() == []  # dropped without asking Redis: the sweeper rings from the rows


def test_given_redis_back_after_an_outage_when_rung_then_bells_are_heard_again(
    tower: Tower, line: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "OPEN_SECONDS", (0.0,))
    tower.ring("before")
    assert bells.flush(5)

    line.refuse()
    for number in range(5):
        tower.ring(number, topic=True)
    assert bells.flush(20)
    line.mend()
    tower.ring("after")
    tower.ring("topic", topic=True)
    assert bells.flush(20)

    assert tower.args() == ["('before',)", "('after',)", "('topic',)"]


def test_given_redis_frozen_in_the_middle_when_rung_then_ringing_goes_on_and_the_bell_is_dropped(
    tower: Tower, line: Proxy
) -> None:
    tower.ring("before")
    assert bells.flush(5)

    line.freeze()
    tower.ring("frozen")
    bells.answered(tower.name)  # a handler is not held up either
    assert bells.flush(20)

    line.mend()
    tower.ring("after")
    assert bells.flush(20)
    assert "('after',)" in tower.args()


def test_given_a_socket_that_never_answers_when_rung_then_the_process_can_still_end(
    tower: Tower, settings: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        redis_behind(f"127.0.0.1:{silent.getsockname()[1]}", settings)
        tower.ring(1)
        tower.ring(1, topic=True)
        assert bells.flush(20)


def test_given_a_redis_that_is_full_when_rung_then_nobody_notices_and_the_breaker_opens(
    tower: Tower, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "OPEN_SECONDS", (3600.0,))
    with socket.create_server(("127.0.0.1", 0)) as full:
        redis_behind(f"127.0.0.1:{full.getsockname()[1]}", settings)
        asked: list[bytes] = []
        threading.Thread(target=answer_that_memory_is_full, args=(full, asked), daemon=True).start()
        for number in range(6):
            tower.ring(number, topic=number % 2 == 0)
        assert bells.flush(20)
        before = len(asked)
        tower.ring("dropped unasked")
        assert bells.flush(20)

    assert len(asked) == before > 0


def answer_that_memory_is_full(server: socket.socket, asked: list[bytes]) -> None:
    def refuse(sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            while commands := sock.recv(65536):
                asked.append(commands)
                sock.sendall(
                    b"-OOM command not allowed when used memory > 'maxmemory'.\r\n" * commands.count(b"*")
                )

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=refuse, args=(server.accept()[0],), daemon=True).start()


def test_a_broken_connection_to_redis_is_closed(tower: Tower, line: Proxy) -> None:
    tower.ring("before")
    assert bells.flush(5)
    (connection,) = bells._redis().connection_pool._available_connections
    assert connection._sock is not None

    line.refuse()
    tower.ring("lost")
    assert bells.flush(20)

    assert connection._sock is None


def test_given_more_bells_than_a_process_keeps_when_rung_then_the_newest_are_dropped(
    tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "MOST_PENDING", 3)
    with tower.ringer._changed:  # the ringer's thread cannot take any
        for number in range(10):
            tower.ring(number)
    assert bells.flush(5)

    assert tower.args() == ["(0,)", "(1,)", "(2,)"]


def test_equal_bells_of_a_topic_that_wait_together_are_one(tower: Tower) -> None:
    with tower.ringer._changed:
        for _ in range(5):
            tower.ring(1, topic=True, forced=True)
    assert bells.flush(5)

    assert len(tower.messages()) == 1


FORKED = """
import os, sys
import django
django.setup()
import lightfield.celery
from lightfield.kernel import bells, wire
bell = bells.Bell("executions.admit", sys.argv[1], (1,))
bells._ringer.ring(bell)
assert bells.flush(10)
before = bells._ringer
child = os.fork()
if child == 0:
    try:
        assert bells._ringer is not before and bells._ringer._thread is None
        bells._ringer.ring(bell)
        assert bells.flush(10)
    except BaseException:
        os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_child_rings_over_a_connection_of_its_own(tower: Tower) -> None:
    subprocess.run([sys.executable, "-c", FORKED, tower.name], check=True, timeout=60)

    assert len(tower.messages()) == 2


def test_each_bell_goes_to_its_queue_and_topic(bellboy: Bellboy) -> None:
    bells.ring_dispatch(3)
    bells.ring_admit("ai", forced=True)
    bells.ring_advance([str(number) for number in range(60)])
    bells.ring_execute("http", [1, 2], retries=4, shown="(a, b)")
    bells.ring_cell("ai", [9])
    bells.ring_expire(["r"])
    bells.ring_settle_effects()

    assert [(bell.task.partition(".")[2], bell.queue, bell.topic) for bell in bellboy.rung] == [
        ("dispatch_shard", "fast", "dispatch:3"),
        ("admit", "fast", "admit:ai"),
        *[("advance", "fast", None)] * 3,
        ("execute_steps", "http", None),
        ("execute_in_cell", "ai", None),
        ("expire_runs", "fast", None),
        ("settle_effects", "fast", None),
    ]
    assert [len(bell.args[0]) for bell in bellboy.rung if bell.task == "executions.advance"] == [25, 25, 10]
    assert bellboy.rung[1].forced
    assert bellboy.rung[5].retries == 4


def test_a_bell_is_what_celery_and_kombu_would_have_sent(tower: Tower) -> None:
    """Packed by hand (`lightfield.kernel.wire`), to the last field: but for ids and the clock."""
    message = current_app.amqp.as_task_v2(
        "some-id",
        "executions.admit",
        (["x"],),
        {},
        expires=30,
        retries=2,
        argsrepr="shown",
        ignore_result=True,
    )
    with Connection(settings.REDIS_URL) as connection:
        Producer(connection.default_channel, auto_declare=False).publish(
            message.body,
            exchange="",
            routing_key=tower.name,
            serializer="json",
            headers=message.headers,
            retry=False,
            **message.properties,
        )
    tower.redis.lpush(
        tower.name,
        wire.packed("executions.admit", tower.name, (["x"],), expires=30, retries=2, shown="shown"),
    )

    theirs, ours = tower.messages()

    for sent in (theirs, ours):
        assert sent["headers"]["root_id"] == sent["headers"]["id"] == sent["properties"]["correlation_id"]
        for part, name in (
            ("headers", "id"),
            ("headers", "root_id"),
            ("headers", "expires"),
            ("properties", "correlation_id"),
            ("properties", "delivery_tag"),
        ):
            assert sent[part].pop(name)
    assert json.loads(base64.b64decode(ours.pop("body"))) == json.loads(base64.b64decode(theirs.pop("body")))
    assert ours == theirs
