"""A process that was told to end let go of the refused webhooks that its thread was just writing.

The thread had taken them off the desk, so what is done at the end found nothing to do, and the thread ended with the
process. Besides: one note that PostgreSQL will never take held up all others for ever, a thread that could not be
started was never tried again, and headers did not count towards the 4 MiB of a desk.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import RequestFactory

from tests.concurrency import race, wait_until_blocked
from tests.factories import a_published_workflow
from triggers import services as triggers
from triggers import tokens
from triggers.deliveries import arrivals, desk, headers, page
from triggers.deliveries.desk import Desk
from triggers.deliveries.models import Delivery, DeliveryVerdict, UnmatchedDay
from triggers.models import Trigger

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hook() -> str:
    return triggers.webhook_path(Trigger.objects.get(workflow=a_published_workflow()))


def an_arrival(address: str, **given: str) -> arrivals.Arrival:
    token = address.removeprefix("/hooks/")
    request = RequestFactory().generic("POST", address, b"{}", "application/json", headers=given)
    return arrivals.arrived(request, token=token, token_hash=tokens.hash_of(token), client="192.0.2.1")


class Watched:
    """A lock that says when somebody has to wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.is_awaited = threading.Event()

    def acquire(self, timeout: float = -1) -> bool:
        if self._lock.acquire(blocking=False):
            return True
        self.is_awaited.set()
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        self._lock.release()


def test_given_the_thread_is_writing_then_the_end_of_the_process_waits_for_it(hook, inbox, monkeypatch):
    writing, is_locked = Watched(), threading.Event()
    monkeypatch.setattr(inbox, "_writing", writing)
    desk.note(an_arrival(hook), DeliveryVerdict.PAUSED)

    def hold_the_table() -> bool:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK triggers_delivery IN SHARE MODE")
            is_locked.set()
            return writing.is_awaited.wait(10)

    def write() -> bool:
        assert is_locked.wait(10)
        return bool(inbox.flush())

    def end() -> int:
        wait_until_blocked()
        desk._flush_at_the_end()
        return Delivery.objects.count()

    assert race(hold_the_table, write, end) == [True, True, 1]


def test_given_a_note_that_the_database_never_takes_then_all_others_are_written(hook, inbox):
    desk.note(an_arrival(hook), DeliveryVerdict.PAUSED)
    desk.note(an_arrival(hook), DeliveryVerdict.MALFORMED, code="c" * 1_000, answer=400)
    desk.note_throttled(tokens.hash_of("nobody's"), "192.0.2.1")
    desk.note(an_arrival(hook), DeliveryVerdict.ARCHIVED)

    assert inbox.flush()
    assert inbox.flush()
    assert set(Delivery.objects.values_list("verdict", flat=True)) == {"paused", "archived"}
    assert UnmatchedDay.objects.get().count == 1


def test_given_no_thread_can_be_started_then_no_answer_fails_and_the_next_note_tries_again(hook, monkeypatch):
    started: list[str] = []

    def start(thread: threading.Thread) -> None:
        if not started:
            started.append("not")
            raise RuntimeError("can't start new thread")
        started.append(thread.name)

    monkeypatch.setattr(threading.Thread, "start", start)
    before = desk.use(Desk())
    try:
        desk.note_throttled(tokens.hash_of("nobody's"), "192.0.2.1")
        desk.note(an_arrival(hook), DeliveryVerdict.PAUSED)
        assert desk.flush()
    finally:
        desk.use(before)

    assert started == ["not", "deliveries"]
    assert Delivery.objects.get().verdict == "paused"
    assert UnmatchedDay.objects.get().count == 1


def test_a_desk_is_bounded_also_when_headers_are_long(hook):
    long = dict.fromkeys((headers.PLAIN | headers.IDS) - {"content-type", "content-length"}, "a b " * 50)
    noted = page.Page()
    for number in range(page.MOST):
        arrival = an_arrival(hook, **long)
        noted.write(a_note(arrival, trigger_id=number))

    assert len(noted.as_json(0.0)) < 1.5 * page.MOST_BYTES
    assert noted.total == page.MOST
    assert len(noted.notes) < page.MOST


def a_note(arrival: arrivals.Arrival, *, trigger_id: int) -> dict[str, Any]:
    return {
        "trigger_id": trigger_id,
        "token_hash": arrival.token_hash,
        "came_at": 0.0,
        "address": arrival.address,
        "headers": arrival.headers,
        "verdict": "paused",
        "code": None,
        "answer": 404,
        "body": None,
    }
