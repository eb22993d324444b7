"""Too many webhooks: 429, the same for every address, in one process and over several."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings as configured
from django.test import RequestFactory

from tests.factories import a_published_workflow
from tests.integration.test_webhook import address_of, answered, assert_problem
from triggers import throttling, tokens
from triggers.models import OutboxEvent, Trigger
from triggers.throttling import Throttle, sharing
from triggers.throttling.buckets import Buckets, Limit
from triggers.throttling.sharing import Sharing

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = Limit(rate=0.01, burst=3)  # three, and no more as long as a test runs
PLENTY = Limit(rate=1e6, burst=1e6)
UNKNOWN = "/hooks/" + "x" * 43

Throttles = Callable[..., None]


def post(address: str, body: bytes = b"{}", *, sender: str = "203.0.113.9", **headers: str) -> Any:
    request = RequestFactory(REMOTE_ADDR=sender).post(
        address, body, content_type="application/json", headers=headers
    )
    return answered(request)


def statuses(address: str, count: int, **given: Any) -> list[int]:
    return [post(address, **given).status_code for _ in range(count)]


@pytest.fixture
def hook() -> str:
    return address_of(a_published_workflow())


@pytest.fixture
def limited() -> Iterator[Throttles]:
    def use(**limits: Limit) -> None:
        throttling.use(Throttle(**{"endpoint": PLENTY, "address": PLENTY, "refused": PLENTY, **limits}))

    yield use
    redis.Redis.from_url(configured.REDIS_URL).delete(*_keys(), b"-")


def _keys() -> list[bytes]:
    return list(redis.Redis.from_url(configured.REDIS_URL).scan_iter(f"{sharing.PREFIX}*"))


def test_given_an_address_at_its_limit_then_429_with_a_time_and_the_others_are_served(hook, limited):
    limited(endpoint=SLOW)
    other = address_of(a_published_workflow())

    assert statuses(hook, 4) == [202, 202, 202, 429]
    answer = post(hook, sender="198.51.100.1")

    assert_problem(answer, 429, "webhook.throttled")
    assert 0 < int(answer.headers["Retry-After"]) <= 100
    assert OutboxEvent.objects.count() == 3
    assert statuses(other, 3) == [202] * 3


def test_an_address_that_does_not_exist_is_throttled_with_the_same_answers(hook, limited):
    limited(endpoint=SLOW)
    known = [post(hook, b"{") for _ in range(4)]
    unknown = [post(UNKNOWN, b"{") for _ in range(4)]

    assert [(one.status_code, one.content) for one in known] == [
        (one.status_code, one.content) for one in unknown
    ]
    assert known[3].headers.items() == unknown[3].headers.items()


def test_given_a_sender_at_its_limit_then_it_waits_at_every_address_and_others_do_not(hook, limited):
    limited(address=SLOW)
    other = address_of(a_published_workflow())

    assert statuses(hook, 2) + statuses(other, 2) == [202, 202, 202, 429]
    assert post(UNKNOWN).status_code == 429
    assert post(hook, sender="203.0.113.10").status_code == 202


def test_a_guesser_is_stopped_long_before_a_sender_that_is_understood(hook, limited):
    limited(refused=SLOW)

    assert statuses(hook, 10) == [202] * 10
    assert [post(f"/hooks/guess-{number}").status_code for number in range(5)] == [404, 404, 404, 429, 429]
    # From there on it is told nothing, not even by what it knows
    assert post(hook).content == post(UNKNOWN).content
    assert post(hook, sender="203.0.113.10").status_code == 202


@pytest.mark.parametrize(("body", "headers"), [(b"{", {}), (b"{}", {"Content-Encoding": "gzip"})])
def test_what_cannot_be_read_counts_as_sent_in_vain(hook, limited, body, headers):
    limited(refused=SLOW)

    answers = [post(hook, body, **headers).status_code for _ in range(4)]

    assert answers[2] in (400, 415)
    assert answers[3] == 429


def test_repetitions_and_throttled_requests_are_not_sent_in_vain(hook, limited):
    limited(endpoint=Limit(rate=0.01, burst=8), refused=Limit(rate=0.01, burst=1))
    key = {"Idempotency-Key": "k-1"}

    assert statuses(hook, 2, **key) == [202, 200]
    assert post(hook, b"[]", **key).status_code == 409
    assert statuses(hook, 6) == [202] * 5 + [429]
    assert post(address_of(a_published_workflow())).status_code == 202


def test_a_throttled_request_asks_nothing_of_the_database_and_does_not_read_the_body(
    hook, limited, django_assert_num_queries
):
    limited(endpoint=SLOW)
    statuses(hook, 3)

    with django_assert_num_queries(0):
        answer = answered(RequestFactory().post(hook, b"x" * (2 << 20), content_type="image/png"))
    assert answer.status_code == 429


def test_a_throttled_request_is_told_to_the_workflow_whose_address_it_came_to(hook, limited, jotter):
    limited(endpoint=SLOW)
    statuses(hook, 5)
    statuses(UNKNOWN, 5)

    trigger = Trigger.objects.get(token_hash=tokens.hash_of(hook.removeprefix("/hooks/")))
    throttled = [note for note in jotter.notes if note.verdict == "throttled"]
    assert {(note.trigger_id, *note.detail.items()) for note in throttled} == {
        (trigger.pk, ("source", "webhook"))
    }
    assert sum(note.count for note in throttled) == 2


def test_given_redis_away_then_the_limit_is_kept_and_nobody_waits_for_it(hook, limited, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    sharing._hang_up()
    limited(endpoint=SLOW)
    try:
        assert statuses(hook, 5) == [202] * 3 + [429] * 2
    finally:
        sharing._hang_up()


def test_no_request_asks_redis_itself(hook, limited, monkeypatch):
    askers: list[str] = []
    monkeypatch.setattr(sharing, "_redis", lambda: askers.append(threading.current_thread().name))
    monkeypatch.setattr(sharing, "GATHER_SECONDS", 0.0)
    limited(endpoint=SLOW)

    statuses(hook, 10)
    ends = time.monotonic() + 10
    while not askers and time.monotonic() < ends:
        threading.Event().wait(0.01)

    assert set(askers) == {"throttle"}


def test_given_two_processes_then_each_learns_what_the_other_spent(limited):
    """Two tables as two processes have them, in one Redis."""
    limited()
    limit = Limit(rate=0.1, burst=10)
    tables = [Buckets(), Buckets()]
    shares = [Sharing(table) for table in tables]

    def taken(table: Buckets) -> int:
        return sum(table.take((("hook:two", limit),)) == 0 for _ in range(4))

    assert [taken(tables[0]), taken(tables[1])] == [4, 4]
    assert all(one.once() for one in shares)
    assert [taken(tables[0]), taken(tables[1])] == [4, 2]  # the second was told of both, the first of itself
    assert all(one.once() for one in shares)
    assert [taken(tables[0]), taken(tables[1])] == [0, 0]


@pytest.mark.parametrize("junk", ["nan", "inf", "-inf", "1e300", "-5", "soon", "99999999999999"])
def test_what_lies_in_redis_can_empty_a_bucket_and_no_more(limited, junk):
    limited()
    limit = Limit(rate=10, burst=10)
    redis.Redis.from_url(configured.REDIS_URL).set(f"{sharing.PREFIX}hook:forged", junk)
    table = Buckets()
    now = time.monotonic()
    table.take((("hook:forged", limit),))

    Sharing(table).once()

    assert table.take((("hook:forged", limit),)) <= 1 + limit.interval + (time.monotonic() - now)


def test_keys_in_redis_go_when_their_buckets_are_full(limited):
    limited()
    table = Buckets()
    for number in range(700):
        table.take(((f"from:{number}", Limit(rate=1000, burst=10)),))
    Sharing(table).once()

    client = redis.Redis.from_url(configured.REDIS_URL)
    assert all(0 <= client.pttl(key) <= 50 or not client.exists(key) for key in _keys())
