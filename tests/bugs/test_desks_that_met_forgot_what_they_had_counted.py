"""Two processes that counted requests of the same addresses met in PostgreSQL, each with rows that the other waited for.

The one that was told of the deadlock forgot its counters, although nothing of them had been written, and was silent
for five seconds.
"""

from __future__ import annotations

import random

import pytest
from django.db import connection, transaction

from tests.concurrency import race, wait_until_blocked
from tests.factories import a_workflow
from triggers.deliveries.desk import Desk
from triggers.deliveries.models import Delivery
from triggers.models import Trigger

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESSES = 60
DESKS = 4
ROUNDS = 15


def counting(desk: Desk, token_hash: str) -> None:
    desk.count((None, token_hash, "throttled", "webhook.throttled", 429), "192.0.2.1")


def test_given_desks_that_count_the_same_addresses_then_every_request_is_counted():
    for number in range(ADDRESSES):
        a_workflow(name=f"w{number}")
    hashes = list(Trigger.objects.values_list("token_hash", flat=True))
    shuffled = random.Random(7)
    orders = [
        [shuffled.sample(hashes, shuffled.randint(2, ADDRESSES)) for _ in range(ROUNDS)] for _ in range(DESKS)
    ]

    def process(order: list[list[str]]) -> bool:
        desk = Desk(is_threaded=False)
        flushed = []
        for of_round in order:
            for token_hash in of_round:
                counting(desk, token_hash)
            flushed.append(desk.flush())
        return all(flushed)

    assert race(*[lambda order=order: process(order) for order in orders]) == [True] * DESKS
    noted = sum(len(of_round) for order in orders for of_round in order)
    assert sum(Delivery.objects.values_list("count", flat=True)) == noted


def test_given_a_deadlock_then_what_was_counted_is_written_after_it():
    first, second = sorted((a_workflow(name=name).trigger for name in "ab"), key=lambda one: one.pk)
    desk = Desk(is_threaded=False)
    for trigger in (first, second):
        counting(desk, trigger.token_hash)
    assert desk.flush()
    rows = {row.trigger_id: row.pk for row in Delivery.objects.all()}

    def stand_in_the_way() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM triggers_delivery WHERE id = %s FOR UPDATE", [rows[second.pk]])
            wait_until_blocked()
            cursor.execute("SELECT 1 FROM triggers_delivery WHERE id = %s FOR UPDATE", [rows[first.pk]])

    def write() -> bool:
        for trigger in (first, second):
            counting(desk, trigger.token_hash)
        return desk.flush()

    _, is_written = race(stand_in_the_way, write)  # who waits first is told first: the desk

    assert is_written is True
    assert sum(Delivery.objects.values_list("count", flat=True)) == 4
