"""Notes of decisions on their way: process, Redis, PostgreSQL. Lost they may be, counted twice never."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from django.conf import settings
from django.db import DataError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from executions import tasks
from lightfield.kernel import sql
from tests.concurrency import race
from tests.factories import a_published_workflow
from tests.proxy import Proxy, a_proxy
from triggers import decisions
from triggers.decisions import Verdict, collecting, note, note_on_commit, notebook, shelf
from triggers.decisions.notebook import Notebook
from triggers.models import Decision, DecisionCount, Trigger

pytestmark = pytest.mark.django_db(transaction=True)


def a_trigger() -> Trigger:
    return Trigger.objects.get(workflow=a_published_workflow())


def counted() -> dict[tuple[int, str], int]:
    rows = DecisionCount.objects.values_list("trigger_id", "verdict", "count")
    return {(trigger_id, verdict): count for trigger_id, verdict, count in rows}


@pytest.fixture
def server(jotter: Any) -> Iterator[redis.Redis]:
    """The real Redis, with an empty shelf, and a real notebook, whose thread would come after an hour."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    forget(client)
    shelf.hang_up()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebook, "GATHER_SECONDS", 3600.0)
        before = notebook.use(Notebook())
        yield client
        notebook.use(before)
    shelf.hang_up()
    forget(client)
    client.close()


def forget(client: redis.Redis) -> None:
    for key in client.scan_iter("lightfield:decisions:*"):
        client.delete(key)


@pytest.fixture
def line(server: redis.Redis, settings: Any) -> Iterator[Proxy]:
    """A proxy between this process and Redis."""
    real = urlsplit(settings.REDIS_URL)
    with a_proxy(lambda: socket.create_connection((real.hostname or "", real.port or 6379))) as proxy:
        user, at, _ = real.netloc.rpartition("@")
        settings.REDIS_URL = real._replace(netloc=f"{user}{at}127.0.0.1:{proxy.port}").geturl()
        shelf.hang_up()
        yield proxy


def test_what_is_noted_is_stored_by_the_next_sweep_with_when_it_was(server):
    trigger = a_trigger()
    before = timezone.now()
    note(
        trigger_id=trigger.pk,
        verdict=Verdict.UNCHANGED,
        subject="opportunity 7",
        detail={"changed": ["name"], "watched": ["stage"]},
    )
    assert decisions.flush()

    tasks.sweep.apply()

    (stored,) = Decision.objects.all()
    assert (stored.trigger_id, stored.verdict, stored.subject) == (trigger.pk, "unchanged", "opportunity 7")
    assert stored.detail == {"changed": ["name"], "watched": ["stage"]}
    assert stored.count == 1
    assert before - timedelta(seconds=1) < stored.at < timezone.now()
    assert stored.pk.int >> 80 == int(stored.at.timestamp() * 1000)  # one order with events
    assert counted() == {(trigger.pk, "unchanged"): 1}


def test_the_age_of_a_note_is_measured_and_no_two_clocks_are_compared(server, monkeypatch):
    trigger = a_trigger()
    monotonic = time.monotonic
    with monkeypatch.context() as earlier:
        earlier.setattr(time, "monotonic", lambda: monotonic() - 60)
        note(trigger_id=trigger.pk, verdict=Verdict.PAUSED)
    decisions.flush()
    collecting.collect()

    age = timezone.now() - Decision.objects.get().at
    assert timedelta(seconds=60) <= age < timedelta(seconds=90)


def test_to_note_asks_nothing_of_the_database_and_nothing_of_redis(server, monkeypatch):
    asked: list[Any] = []
    monkeypatch.setattr(shelf, "put", lambda *args: asked.append(args))
    with CaptureQueriesContext(connection) as captured:
        for number in range(10_000):
            note(trigger_id=number % 7 + 1, verdict=Verdict.UNCHANGED, detail={"changed": ["a"]})

    assert not captured
    assert asked == []  # the thread would come after an hour
    assert decisions.flush()
    assert len(asked) == 1


def test_nothing_that_is_noted_raises(server):
    impossible: Any = object()
    note(trigger_id=impossible, verdict=impossible, subject=impossible, detail=impossible, count=impossible)
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    note(trigger_id=1, verdict=Verdict.PAUSED, detail=loop)
    decisions.flush()


def test_given_an_odd_detail_then_the_rest_of_the_note_is_kept(server):
    trigger = a_trigger()
    for detail in ({"x": object()}, {"x": float("nan")}, {"x": "y" * 5000}, {"x": "\ud800"}):
        note(trigger_id=trigger.pk, verdict=Verdict.PAUSED, detail=detail)
    note(trigger_id=trigger.pk, verdict=Verdict.PAUSED, subject="s" * 500)
    decisions.flush()

    collecting.collect()

    stored = list(Decision.objects.order_by("id"))
    assert counted() == {(trigger.pk, "paused"): 5}
    assert sorted(str(row.detail) for row in stored) == [
        "{'left_out': 'not JSON'}",
        "{'left_out': 'not JSON'}",
        "{'left_out': 'too large'}",
        "{}",
    ]  # half a surrogate pair is refused where it would be stored
    assert max(len(row.subject) for row in stored) == shelf.MOST_SUBJECT


def test_given_a_rollback_then_nothing_was_decided(server):
    trigger = a_trigger()
    with transaction.atomic():
        note_on_commit(trigger_id=trigger.pk, verdict=Verdict.UNCHANGED)
        transaction.set_rollback(True)
    with transaction.atomic():
        note_on_commit(trigger_id=trigger.pk, verdict=Verdict.OWN_CHANGE)
    note_on_commit(trigger_id=trigger.pk, verdict=Verdict.MISSED, count=7)
    decisions.flush()

    collecting.collect()

    assert counted() == {(trigger.pk, "own_change"): 1, (trigger.pk, "missed"): 7}
    assert dict(Decision.objects.values_list("verdict", "count")) == {"own_change": 1, "missed": 7}


def test_given_nothing_noted_then_a_collection_is_one_exchange_and_no_statement(server):
    collecting.collect()
    asked = server.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
    with CaptureQueriesContext(connection) as captured:
        assert collecting.collect() == 0

    assert not captured
    assert server.info("commandstats")["cmdstat_evalsha"]["calls"] == asked + 1


def test_a_collection_costs_the_same_statements_for_one_decision_and_for_many(server):
    triggers = [a_trigger() for _ in range(3)]
    costs = []
    for repetitions in (1, 50):
        for _ in range(repetitions):
            for trigger in triggers:
                note(trigger_id=trigger.pk, verdict=Verdict.UNCHANGED)
                note(trigger_id=trigger.pk, verdict=Verdict.PAUSED)
        decisions.flush()
        with CaptureQueriesContext(connection) as captured:
            collecting.collect()
        costs.append(len(captured))

    assert costs[0] == costs[1] <= 4  # Django's own cursor sees BEGIN, triggers, rows, COMMIT


def test_counters_are_exact_where_only_a_sample_is_kept(server, monkeypatch):
    trigger, other = a_trigger(), a_trigger()
    note(trigger_id=other.pk, verdict=Verdict.UNCHANGED, subject="the one of the other")
    for number in range(5_000):
        note(trigger_id=trigger.pk, verdict=Verdict.UNCHANGED, subject=str(number))
    decisions.flush()

    collecting.collect()

    assert counted() == {(trigger.pk, "unchanged"): 5_000, (other.pk, "unchanged"): 1}
    kept = set(Decision.objects.filter(trigger=trigger).values_list("subject", flat=True))
    assert kept == {str(number) for number in range(4_500, 5_000)}  # the newest of its half
    assert Decision.objects.get(trigger=other).subject == "the one of the other"


def test_given_busy_triggers_in_many_processes_then_redis_keeps_the_note_of_a_quiet_one(server):
    busy, quiet = [a_trigger() for _ in range(5)], a_trigger()
    note(trigger_id=quiet.pk, verdict=Verdict.PAUSED)
    decisions.flush()
    for _ in range(8):  # processes
        for _ in range(400):
            for trigger in busy:
                note(trigger_id=trigger.pk, verdict=Verdict.UNCHANGED)
        decisions.flush()
        assert sum(size for _, size in server.zrange(shelf.SIZES, 0, -1, withscores=True)) <= 1_000
    assert sum(server.llen(key) for key in server.scan_iter(shelf.NOTES + "*")) == 1_000

    collecting.collect()

    assert Decision.objects.filter(trigger=quiet).count() == 1
    assert Decision.objects.count() == 1_000
    assert sum(counted().values()) == 8 * 400 * 5 + 1


def test_a_trigger_keeps_its_newest_thousand(server):
    trigger, other = a_trigger(), a_trigger()
    note(trigger_id=other.pk, verdict=Verdict.PAUSED)
    for batch in range(3):
        for number in range(600):
            note(trigger_id=trigger.pk, verdict=Verdict.UNCHANGED, subject=f"{batch}.{number}")
        decisions.flush()
        collecting.collect()

    assert Decision.objects.filter(trigger=trigger).count() == 1_000
    batches = Counter(
        s[0] for s in Decision.objects.filter(trigger=trigger).values_list("subject", flat=True)
    )
    assert batches["2"] == 600
    assert batches["0"] == 0
    assert counted() == {(trigger.pk, "unchanged"): 1_800, (other.pk, "paused"): 1}
    assert Decision.objects.filter(trigger=other).count() == 1


def test_the_number_of_counters_is_bounded_in_the_process_and_in_redis(server, monkeypatch):
    monkeypatch.setattr(notebook, "MOST_COUNTERS", 10)
    monkeypatch.setattr(shelf, "MOST_COUNTERS", 15)
    for start in (0, 100):
        for trigger_id in range(start + 1, start + 51):
            note(trigger_id=trigger_id, verdict=Verdict.PAUSED)
        decisions.flush()

    assert server.hlen(shelf.COUNTS) == 15


def test_given_two_collectors_at_once_then_each_decision_is_counted_once(server):
    trigger = a_trigger()
    for _ in range(20):
        for number in range(100):
            note(trigger_id=trigger.pk, verdict=list(notebook_verdicts())[number % 4])
        decisions.flush()
        results = race(*[collecting.collect] * 4)
        assert sorted(results) == [0, 0, 0, 100]

    assert sum(counted().values()) == 2_000
    assert Decision.objects.count() == 1_000


def notebook_verdicts() -> list[Verdict]:
    return [Verdict.UNCHANGED, Verdict.PAUSED, Verdict.DUPLICATE, Verdict.MISSED]


def test_given_collectors_that_store_at_once_then_the_bound_holds(server, monkeypatch):
    """Each with a full load of its own. Would both store before either trims, neither saw the other's rows."""
    trigger = a_trigger()
    loads = []
    for verdict in (Verdict.UNCHANGED, Verdict.PAUSED):
        for _ in range(900):
            note(trigger_id=trigger.pk, verdict=verdict)
        decisions.flush()
        loads.append(shelf.take())
    handed = iter(loads)
    lock = threading.Lock()
    both_stored = threading.Barrier(2)
    store = Decision.objects.bulk_create

    def take_the_next() -> shelf.Taken:
        with lock:
            return next(handed)

    def store_and_look_for_the_other(rows: Any) -> Any:
        stored = store(rows)
        with contextlib.suppress(threading.BrokenBarrierError):
            both_stored.wait(timeout=0.5)
        return stored

    monkeypatch.setattr(shelf, "take", take_the_next)
    monkeypatch.setattr(Decision.objects, "bulk_create", store_and_look_for_the_other)

    assert race(*[collecting.collect] * 2) == [900] * 2
    assert counted() == {(trigger.pk, "unchanged"): 900, (trigger.pk, "paused"): 900}
    assert Decision.objects.count() == 1_000


def test_given_a_collector_that_dies_after_it_took_then_its_load_is_lost_and_never_counted_twice(
    server, monkeypatch
):
    trigger = a_trigger()
    note(trigger_id=trigger.pk, verdict=Verdict.PAUSED)
    decisions.flush()
    with monkeypatch.context() as dying:
        dying.setattr(sql, "rows", fail_with(OperationalError("gone")))
        dying.setattr(sql, "row", fail_with(OperationalError("gone")))
        with pytest.raises(OperationalError):
            collecting.collect()
    note(trigger_id=trigger.pk, verdict=Verdict.PAUSED)
    decisions.flush()

    collecting.collect()

    assert counted() == {(trigger.pk, "paused"): 1}
    assert Decision.objects.count() == 1


def fail_with(error: Exception) -> Any:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def test_given_a_load_that_the_database_refuses_then_the_sweep_goes_on(server, monkeypatch):
    note(trigger_id=a_trigger().pk, verdict=Verdict.PAUSED)
    decisions.flush()
    monkeypatch.setattr(Decision.objects, "bulk_create", fail_with(DataError("odd")))

    assert collecting.collect() == 0
    assert counted() == {}  # with its rows, or not at all


FORGED_COUNTS = {
    "{t}:paused": "many",
    "{t}:duplicate": "-5",
    "{t}:missed": str(10**30),
    "{t}:fired": "5",  # is told by events
    "{t}:nonsense": "5",
    "{t}:": "5",
    "{t}": "5",
    "": "5",
    "0:paused": "5",
    "-1:paused": "5",
    "999999999:paused": "5",  # no such trigger
    "99999999999999999999:paused": "5",
    "' OR 1=1:paused": "5",
    "{t}:unchanged": "3",  # the only one that can be stored
}
FORGED_NOTES = [
    b"",
    b"x",
    b"\xff\xfe",
    b"1 1",
    b"nan nan {}",
    b'inf 0 {"verdict":"paused","subject":"","detail":{},"count":1}',
    b"1 1 []",
    b"1 1 {",
    b'1 1 {"verdict":"paused"}',
    b'1 1 {"verdict":"fired","subject":"","detail":{},"count":1}',
    b'1 1 {"verdict":["paused"],"subject":"","detail":{},"count":1}',
    b'1 1 {"verdict":"paused","subject":7,"detail":{},"count":1}',
    b'1 1 {"verdict":"paused","subject":"","detail":[],"count":1}',
    b'1 1 {"verdict":"paused","subject":"","detail":{},"count":true}',
    b'1 1 {"verdict":"paused","subject":"","detail":{},"count":-1}',
    b'1 1 {"verdict":"paused","subject":"","detail":{},"count":1e5000}',
    b'1 1 {"verdict":"paused","subject":"\\u0000","detail":{},"count":1}',
    b'1 1 {"verdict":"paused","subject":"\\ud800","detail":{},"count":1}',
    b'1 1 {"verdict":"paused","subject":"","detail":' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b',"count":1}',
    b'1 1 {"verdict":"paused","subject":"","detail":{"a":"' + b"x" * 100_000 + b'"},"count":1}',
]


def test_given_forged_content_in_redis_then_what_is_sound_is_stored_and_nothing_else(server):
    trigger = a_trigger()
    for name, value in FORGED_COUNTS.items():
        server.hset(shelf.COUNTS, name.format(t=trigger.pk), value)
    sound = b'1 0 {"verdict":"unchanged","subject":"sound","detail":{},"count":1}'
    server.lpush(shelf.NOTES + str(trigger.pk), *FORGED_NOTES, sound)
    for name in (str(trigger.pk), "999999999", "odd", "-1"):
        server.zadd(shelf.SIZES, {name: 5})
    server.lpush(shelf.NOTES + "odd", sound)
    server.lpush(shelf.NOTES + "999999999", sound)

    assert collecting.collect() == 3

    assert counted() == {(trigger.pk, "unchanged"): 3}
    assert [row.subject for row in Decision.objects.all()] == ["sound"]
    assert list(server.scan_iter("lightfield:decisions:*")) == []


@pytest.mark.parametrize("key", [shelf.COUNTS, shelf.SIZES])
def test_given_something_else_under_our_names_then_it_is_cleared_away(server, key):
    trigger = a_trigger()
    server.set(key, "what is this")
    note(trigger_id=trigger.pk, verdict=Verdict.PAUSED)
    assert not decisions.flush()
    assert collecting.collect() == 0

    notebook.use(Notebook())  # whose breaker is closed
    note(trigger_id=trigger.pk, verdict=Verdict.PAUSED)
    assert decisions.flush()
    assert collecting.collect() == 1


def test_given_redis_away_then_notes_are_kept_to_their_bounds_and_carried_when_it_is_back(
    server, line, monkeypatch
):
    trigger = a_trigger()
    note(trigger_id=trigger.pk, verdict=Verdict.PAUSED)
    line.refuse()
    assert not decisions.flush()  # may have arrived: it is dropped
    line.mend()
    for _ in range(2_000):
        note(trigger_id=trigger.pk, verdict=Verdict.UNCHANGED)
    assert not decisions.flush()  # the breaker is open: nobody asks
    assert server.hlen(shelf.COUNTS) == 0

    monkeypatch.setattr(notebook._notebook, "_open_until", 0.0)
    assert decisions.flush()
    collecting.collect()

    assert counted() == {(trigger.pk, "unchanged"): 2_000}
    assert Decision.objects.count() == 1_000


def test_given_redis_frozen_when_flushed_then_it_takes_as_long_as_one_timeout_and_nothing_comes_twice(
    server, line, monkeypatch
):
    trigger = a_trigger()
    note(trigger_id=trigger.pk, verdict=Verdict.PAUSED)
    decisions.flush()  # connected
    note(trigger_id=trigger.pk, verdict=Verdict.PAUSED)
    line.freeze()
    assert not decisions.flush()
    line.mend()  # what was sent arrives now, or never
    monkeypatch.setattr(notebook._notebook, "_open_until", 0.0)
    assert decisions.flush()
    collecting.collect()
    collecting.collect()

    assert sum(counted().values()) in (1, 2)


def test_given_redis_away_then_a_collection_is_nobodys_error(server, line):
    line.refuse()
    assert collecting.collect() == 0


def test_the_thread_carries_by_itself(server, monkeypatch):
    monkeypatch.setattr(notebook, "GATHER_SECONDS", 0.0)
    is_put = threading.Event()
    put = shelf.put

    def put_and_tell(*args: Any) -> None:
        put(*args)
        is_put.set()

    monkeypatch.setattr(shelf, "put", put_and_tell)
    for _ in range(3):
        is_put.clear()
        note(trigger_id=1, verdict=Verdict.PAUSED)
        assert is_put.wait(10)


IN_A_PROCESS = """
import os, sys
import django
django.setup()
from triggers.decisions import Verdict, note, notebook
note(trigger_id=int(sys.argv[1]), verdict=Verdict.PAUSED)
child = os.fork()
if child == 0:
    try:
        assert notebook._notebook._thread is None and not notebook._notebook._page.counts
        note(trigger_id=int(sys.argv[1]), verdict=Verdict.MISSED)
        assert notebook.flush()
    except BaseException:
        os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_process_that_ends_and_its_forked_child_each_carry_their_own(server):
    trigger = a_trigger()

    subprocess.run([sys.executable, "-c", IN_A_PROCESS, str(trigger.pk)], check=True, timeout=60)
    collecting.collect()

    assert counted() == {(trigger.pk, "paused"): 1, (trigger.pk, "missed"): 1}


def test_nothing_is_left_for_ever_in_redis(server):
    note(trigger_id=1, verdict=Verdict.PAUSED, subject=secrets.token_hex(4))
    decisions.flush()

    for key in server.scan_iter("lightfield:decisions:*"):
        assert 0 < server.ttl(key) <= shelf.KEPT_SECONDS
    assert json.loads(server.lindex(shelf.NOTES + "1", 0).split(b" ", 2)[2])["verdict"] == "paused"
