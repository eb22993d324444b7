"""Writers at the same rows at once: what each event says was before is what the last one said came after.

Real connections, started at one instant. The same with Django's writers capturing and with the database capturing,
except for what only ours promise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F

from crm.models import Opportunity
from lightfield.kernel.ids import uuid7
from tests.capturing import capturing, payloads, told, watching
from tests.concurrency import race, wait_until_blocked
from triggers.models import UncapturedWrite

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = 8
TURNS = 6  # of each writer
WATCHED = ("stage", "pipeline", "amount", "name")
CREATED = "created"


@pytest.fixture(params=["orm", "trigger"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    with capturing(request.param):
        yield request.param


def a_deal(**fields: Any) -> Opportunity:
    return Opportunity.objects.create(**{"name": "A deal", "stage": "0", "amount": 0, **fields})


def changed(deal: Opportunity, word: str) -> Opportunity:
    deal.stage, deal.pipeline = word, f"of {word}"
    return deal


# Each way of writing one row; `word` is the writer's own. A stale instance puts back what others have written.
WAYS: dict[str, Callable[[Any, str], Any]] = {
    "save": lambda key, word: changed(Opportunity.objects.get(pk=key), word).save(),
    "save(update_fields)": lambda key, word: changed(Opportunity.objects.get(pk=key), word).save(
        update_fields=["stage", "updated_at"]
    ),
    "update": lambda key, word: Opportunity.objects.filter(pk=key).update(stage=word, name=word),
    "update(F())": lambda key, word: Opportunity.objects.filter(pk=key).update(amount=F("amount") + 1),
    "bulk_update": lambda key, word: Opportunity.objects.bulk_update(
        [changed(Opportunity(pk=key), word)], ["stage", "pipeline"]
    ),
    "upsert": lambda key, word: Opportunity.objects.bulk_create(
        [Opportunity(pk=key, name="A deal", stage=word)],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["stage", "name"],
    ),
    "rolled back": lambda key, word: rolled_back(key),
}


def rolled_back(key: Any) -> None:
    with transaction.atomic():
        Opportunity.objects.filter(pk=key).update(stage="never", amount=-1)
        transaction.set_rollback(True)


def told_in_order() -> list[dict[str, Any]]:
    """The payloads by the instant of the change. It is taken under the row's lock, so this is the order of writing."""
    return sorted(payloads(), key=lambda payload: payload["occurred_at"])


def assert_chained(events: list[dict[str, Any]], start: dict[str, Any], end: dict[str, Any]) -> None:
    """From what was stored at the start, change by change, to what is stored at the end: field by field."""
    now = dict(start)
    for event in events:
        for name, change in event["_diff"].items():
            assert change["before"] == now[name] != change["after"], (name, event)
            now[name] = change["after"]
        assert {name: event["fields"][name] for name in now} == now
    assert now == end


def apart(write: Callable[[], Any]) -> Any:
    """On another connection, in a thread."""
    try:
        return write()
    finally:
        connection.close()


def stored(key: Any) -> dict[str, Any]:
    row: dict[str, Any] = Opportunity.objects.filter(pk=key).values(*WATCHED).get()
    return {**row, "amount": float(row["amount"])}


def test_given_eight_writers_of_every_kind_at_one_row_then_their_diffs_chain(mode: str) -> None:
    deal = a_deal()
    watching("opportunity", "updated")
    start = stored(deal.pk)

    def write(number: int) -> list[str]:
        drawn = random.Random(number)
        ways = [drawn.choice(list(WAYS)) for _ in range(TURNS)]
        for turn, way in enumerate(ways):
            WAYS[way](deal.pk, f"{number}.{turn}")
        return ways

    done = race(*(partial(write, number) for number in range(WRITERS)))

    ways = [way for one in done for way in one]  # an exception is no list
    assert set(ways) == set(WAYS)
    events = told_in_order()
    assert_chained(events, start, stored(deal.pk))
    assert len(events) == len(ways) - ways.count(
        "rolled back"
    )  # each has a word of its own, so each is a change
    assert not UncapturedWrite.objects.exists()


def test_given_eight_increments_at_once_then_each_event_has_its_own_step(mode: str) -> None:
    deal = a_deal()
    watching("opportunity", "updated", "amount")

    race(*[partial(WAYS["update(F())"], deal.pk, "")] * WRITERS)

    steps = [payload["_diff"]["amount"] for payload in told_in_order()]
    assert [(step["before"], step["after"]) for step in steps] == [(n, n + 1) for n in range(WRITERS)]


def test_given_eight_who_take_what_is_open_then_one_wins_and_one_event_says_so(mode: str) -> None:
    watching("opportunity", "updated", "stage")
    for round_ in range(10):
        deal = a_deal(stage="open")

        def take(name: str, key: Any = deal.pk) -> int:
            return Opportunity.objects.filter(pk=key, stage="open").update(stage="taken", pipeline=name)

        won = race(*(partial(take, f"writer {number}") for number in range(WRITERS)))

        assert sorted(won) == [0] * (WRITERS - 1) + [1]
        deal.refresh_from_db()
        assert deal.pipeline == f"writer {won.index(1)}"
        assert [diff["stage"] for diff in told()] == [("open", "taken")] * (round_ + 1)


def test_given_eight_who_take_all_that_is_open_then_each_row_is_won_once(mode: str) -> None:
    deals = [a_deal(stage="open") for _ in range(20)]
    watching("opportunity", "updated", "stage")

    won = race(*[lambda: Opportunity.objects.filter(stage="open").update(stage="taken")] * WRITERS)

    assert sum(won) == len(deals)
    assert [diff["stage"] for diff in told()] == [("open", "taken")] * len(deals)


def test_given_updates_of_overlapping_rows_in_opposite_orders_then_none_waits_for_another_in_a_circle() -> (
    None
):
    """PostgreSQL locks in the order in which it comes upon the rows; ours are locked by their keys before."""
    keys = [a_deal(stage=str(number)).pk for number in range(40)]
    watching("opportunity", "updated")

    def write(number: int) -> int:
        rows = Opportunity.objects.filter(pk__in=keys[number:30] if number % 2 else keys[: 40 - number])
        rows = rows.order_by("stage" if number % 2 else "-stage")
        return sum(rows.update(pipeline=f"{number}.{turn}") for turn in range(5))

    done = race(*(partial(write, number) for number in range(WRITERS)))

    expected = [5 * (30 - number if number % 2 else 40 - number) for number in range(WRITERS)]
    assert done == expected  # a deadlock would be an exception
    assert len(told()) == sum(done)


def test_given_a_row_held_by_another_then_an_update_holds_none_behind_it() -> None:
    """Locked from the lowest key on, whatever the order that was asked for: while it waits, what is behind is free."""
    first, second = sorted((a_deal(), a_deal()), key=lambda deal: deal.pk)
    watching("opportunity", "updated")
    both = Opportunity.objects.filter(pk__in=[second.pk, first.pk]).order_by("-pk")

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Opportunity.objects.filter(pk=first.pk).update(stage="held")
            updated = pool.submit(apart, lambda: both.update(stage="both"))
            wait_until_blocked()
            Opportunity.objects.select_for_update(nowait=True).get(pk=second.pk)

        assert updated.result(20) == 2
    assert sorted(diff["stage"][0] for diff in told() if diff["stage"][1] == "both") == ["0", "held"]


def test_given_eight_upserts_of_one_new_key_then_one_made_it_and_the_rest_changed_it(mode: str) -> None:
    watching("opportunity", "created")
    watching("opportunity", "updated", "stage")
    for _ in range(5):
        key = uuid7()

        def upsert(word: str, key: Any = key) -> None:
            Opportunity.objects.bulk_create(
                [Opportunity(pk=key, name="A deal", stage=word)],
                update_conflicts=True,
                unique_fields=["id"],
                update_fields=["stage"],
            )

        done = race(*(partial(upsert, str(number)) for number in range(WRITERS)))

        assert done == [None] * WRITERS
        of_it = [payload for payload in told_in_order() if payload["id"] == str(key)]
        assert ["_diff" in payload for payload in of_it] == [False] + [True] * (WRITERS - 1)
        start = {"stage": of_it[0]["fields"]["stage"]}
        assert_chained(of_it[1:], start, {"stage": Opportunity.objects.get(pk=key).stage})


def test_given_eight_who_get_or_create_and_change_then_one_made_it_and_the_diffs_chain(mode: str) -> None:
    watching("opportunity", "created")
    watching("opportunity", "updated", "amount")
    key = uuid7()

    def write(number: int) -> None:
        deal, _ = Opportunity.objects.get_or_create(pk=key, defaults={"name": "A deal", "amount": 0})
        Opportunity.objects.update_or_create(pk=deal.pk, defaults={"amount": Decimal(number + 1)})

    done = race(*(partial(write, number) for number in range(WRITERS)))

    assert done == [None] * WRITERS
    events = told_in_order()
    assert ["_diff" in payload for payload in events] == [False] + [True] * WRITERS
    assert_chained(events[1:], {"amount": 0.0}, {"amount": float(Opportunity.objects.get().amount or 0)})
