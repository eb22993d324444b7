"""One PUBLISH ended every worker that heard it: by JSON too deep to read, or by Celery's own command to shut down.

Queues had a sieve, the channel of remote control had none.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.worker.control import Panel
from django.conf import settings
from flower.inspector import Inspector

from lightfield import remote_control
from lightfield.broker import is_control_message
from lightfield.celery import app
from lightfield.local import health
from lightfield.local.boot import ROOT

ARGUMENTS: dict[str, dict[str, Any]] = {
    "add_consumer": {"queue": "http"},
    "autoscale": {"max": 1, "min": 1},
    "cancel_consumer": {"queue": "ai"},
    "pool_grow": {"n": 1},
    "pool_shrink": {"n": 1},
    "rate_limit": {"task_name": "executions.sweep", "rate_limit": "1/h"},
    "revoke": {"task_id": "x"},
    "time_limit": {"task_name": "executions.sweep", "hard": 1},
}
REFUSED = sorted(set(Panel.meta) - set(remote_control.ANSWERED))


def message(body: object = None, *, headers: object = None, **properties: object) -> dict[str, Any]:
    """As Celery publishes `ping`, but for what is given."""
    asked: dict[str, object] = {
        "method": "ping",
        "arguments": {},
        "destination": None,
        "pattern": None,
        "matcher": None,
    }
    text = json.dumps(asked if body is None else body)
    return {
        "body": base64.b64encode(text.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"clock": 1, "expires": None} if headers is None else headers,
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "t",
            **properties,
        },
    }


DEEP = b"[" * 100_000
FORGED: list[object] = [
    *([], {}, 7, None, "x", {"body": 1}, {"body": "x", "headers": {}, "properties": {}}),
    message() | {"body": base64.b64encode(DEEP).decode()},
    *(message() | {"body": body} for body in ("no base64", "", None)),
    message() | {"content-type": "application/x-python-serialize"},
    message([1]),
    message({}),
    message({"method": ["ping"]}),
    message({"method": "ping", "arguments": [1]}),
    message({"method": "ping", "destination": 7}),
    message({"method": "ping", "pattern": "(", "matcher": "pcre"}),
    message({"method": "ping", "reply_to": "x"}),
    message({"method": "ping", "reply_to": {"exchange": "x"}}),
    message(headers={"clock": "x"}),
    message(headers=[]),
    message(delivery_tag=[]),
    message(delivery_info=None),
]
NO_JSON = [b"garbage", b"\xff\xfe", DEEP, b'{"__type__": "datetime", "__value__": "x"}']


@dataclass
class Worker:
    """A real one, with a name of its own."""

    process: subprocess.Popen[bytes]
    node: str
    log: Path
    redis: redis.Redis

    @property
    def name(self) -> str:
        return f"{self.node}@{socket.gethostname()}"

    def hears(self, raw: bytes) -> bool:
        database = self.redis.connection_pool.connection_kwargs.get("db", 0)
        return bool(self.redis.publish(f"/{database}.celery.pidbox", raw))

    def problem(self) -> str:
        """What a health check says of it."""
        return health.problem_of(f"worker-{self.node}", {"REDIS_URL": settings.REDIS_URL}, patience=10)

    def asked(self, command: str, **arguments: object) -> Any:
        """Its answer."""
        replies = app.control.broadcast(
            command, arguments, destination=[self.name], reply=True, timeout=10, limit=1
        )
        assert replies, f"{command} was not answered"
        return replies[0][self.name]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    node, log = f"bug-{secrets.token_hex(4)}", tmp_path_factory.mktemp("worker") / "log"
    command = f"-m celery -A lightfield worker -Q ai -n {node}@%h --pool=threads -c 2 --without-gossip --without-mingle"
    environ = {**os.environ, "REDIS_URL": settings.REDIS_URL, "LIGHTFIELD_ROLE": "worker-fast"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *command.split()], cwd=ROOT, env=environ, stdout=file, stderr=file
        )
    worker = Worker(process, node, log, redis.Redis.from_url(settings.REDIS_URL))
    give_up = time.monotonic() + 60
    while worker.problem() and process.poll() is None and time.monotonic() < give_up:
        pass
    yield worker
    process.terminate()
    process.wait(30)
    worker.redis.close()


@pytest.mark.slow
def test_given_garbage_where_commands_are_expected_then_the_worker_still_answers(worker: Worker) -> None:
    for raw in [*NO_JSON, *(json.dumps(forged).encode() for forged in FORGED)]:
        assert worker.hears(raw)

    assert worker.problem() == ""
    assert worker.process.poll() is None
    assert "Traceback" not in worker.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("command", REFUSED)
def test_a_command_that_would_change_a_worker_is_refused(worker: Worker, command: str) -> None:
    before = worker.asked("stats")["pool"]["max-concurrency"], worker.asked("active_queues")

    answer = worker.asked(command, **ARGUMENTS.get(command, {}))

    assert answer == {"error": remote_control.REFUSAL}
    assert (worker.asked("stats")["pool"]["max-concurrency"], worker.asked("active_queues")) == before
    assert worker.process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("command", Inspector.inspect_methods)
def test_what_flower_shows_is_answered(worker: Worker, command: str) -> None:
    answer = worker.asked(command)

    assert not (isinstance(answer, dict) and "error" in answer)


@pytest.mark.slow
def test_given_flower_begins_to_listen_when_it_asks_for_a_heartbeat_then_nothing_is_refused(
    worker: Worker,
) -> None:
    assert worker.asked("heartbeat") is None  # the answer is an event
    assert worker.process.poll() is None


@pytest.mark.slow
def test_a_command_that_nobody_knows_is_refused_too(worker: Worker) -> None:
    assert worker.asked("no such command") == {"error": remote_control.REFUSAL}


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: repr(forged)[:60])
def test_a_command_of_another_shape_does_not_pass(forged: object) -> None:
    assert not is_control_message(forged)


def test_a_command_as_celery_writes_it_passes() -> None:
    reply_to = {"exchange": "reply.celery.pidbox", "routing_key": "r"}
    asked = {"method": "ping", "arguments": {}, "destination": ["a@b"], "ticket": "t", "reply_to": reply_to}

    assert is_control_message(message())
    assert is_control_message(message(asked))
