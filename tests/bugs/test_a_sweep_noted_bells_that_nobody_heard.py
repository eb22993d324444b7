"""When Redis was back, the sweeper's own breaker was open for up to five seconds more: it noted every due step as
rung, and dropped every bell. Each note doubles the time until the next, and after three a fast step is a suspect.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from executions import sweeper
from executions.models import StepRun
from lightfield.kernel import bells
from lightfield.kernel.bells import Bell, Ringer
from tests.bellboy import Bellboy
from tests.proxy import Proxy, a_proxy
from tests.staging import a_claimed_step, a_queued_step, a_run, end_lease, let_time_pass, say

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]

NOBODY = "nobody-listens"  # a queue


@pytest.fixture
def server(settings: Any) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(settings.REDIS_URL)
    yield client
    client.close()


@pytest.fixture
def line(
    bellboy: Bellboy, server: redis.Redis, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Proxy]:
    """Between a real ringer, whose breaker stays open for an hour, and Redis."""
    monkeypatch.setattr(bells, "OPEN_SECONDS", (3600.0,))
    real = urlsplit(settings.REDIS_URL)
    with a_proxy(lambda: socket.create_connection((real.hostname or "", real.port or 6379))) as proxy:
        user, at, _ = real.netloc.rpartition("@")
        settings.REDIS_URL = real._replace(netloc=f"{user}{at}127.0.0.1:{proxy.port}").geturl()
        before = bells.use(Ringer())
        bells._hang_up()
        yield proxy
        bells.use(before)
        bells._hang_up()
        server.delete(NOBODY)


def open_the_breaker(line: Proxy) -> None:
    line.refuse()
    for number in range(bells.FAILURES_TO_OPEN):
        bells._ringer.ring(Bell("executions.admit", NOBODY, (number,)))
    assert bells.flush(20)


def notes() -> list[Any]:
    return list(StepRun.objects.order_by("id").values_list("rings", "rung_at"))


def taken_out(server: redis.Redis, queue: str, step_run_id: int) -> int:
    """How many messages for this step there were; no worker of another test shall find them."""
    waiting: list[Any] = server.lrange(queue, 0, -1)
    found = [raw for raw in waiting if f"#{step_run_id})" in json.loads(raw)["headers"]["argsrepr"]]
    for raw in found:
        server.lrem(queue, 1, raw)
    return len(found)


def test_given_redis_away_when_swept_then_nothing_is_noted_as_rung(line: Proxy) -> None:
    a_run(say())  # a fast step: after three rings it would be a suspect
    a_queued_step()
    end_lease(a_claimed_step().step_run_id)
    let_time_pass()
    before = notes()
    open_the_breaker(line)

    for _ in range(3):
        assert sweeper.sweep() == sweeper.Swept()

    assert notes() == before


def test_given_redis_back_when_swept_then_the_bell_is_heard_although_the_breaker_is_open(
    line: Proxy, server: redis.Redis
) -> None:
    step = a_queued_step()
    assert bells.flush(20)
    taken_out(server, "http", step.pk)  # what admission rang
    let_time_pass()
    open_the_breaker(line)
    sweeper.sweep()

    line.mend()
    sweeper.sweep()
    assert bells.flush(20)

    assert taken_out(server, "http", step.pk) == 1
    assert StepRun.objects.get().rings == 1


def test_given_redis_that_fails_again_then_one_failure_opens_the_breaker(
    line: Proxy, server: redis.Redis
) -> None:
    open_the_breaker(line)
    line.mend()
    assert bells.can_ring()

    line.refuse()
    bells._ringer.ring(Bell("executions.admit", NOBODY, (1,)))
    assert bells.flush(20)
    line.mend()
    bells._ringer.ring(Bell("executions.admit", NOBODY, (2,)))
    assert bells.flush(20)

    assert server.llen(NOBODY) == 0


def test_a_redis_that_is_full_hears_no_bells(line: Proxy, server: redis.Redis) -> None:
    server.config_set("maxmemory", 1)
    try:
        assert not bells.can_ring()
    finally:
        server.config_set("maxmemory", 0)
