"""Every way by which Django writes a record: one event per real change of a watched field, and none else.

Each row of the table runs in autocommit and in nested transactions, with Django's writers capturing and with the
database capturing. Two workflows listen: one to new opportunities, one to changes of stage or amount.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from asgiref.sync import sync_to_async
from django.core import serializers
from django.db import connection, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Concat

from crm.models import Account, Contact, Opportunity
from lightfield.kernel.ids import uuid7
from tests.capturing import capturing, told, watching
from triggers.models import OutboxEvent, UncapturedWrite
from triggers.records import capture

pytestmark = pytest.mark.django_db(transaction=True)

CREATED = "created"
WON = {"stage": ("new", "won")}


class Deals(NamedTuple):
    one: Opportunity
    two: Opportunity
    account: Account  # of both


def changed(instance: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(instance, name, value)
    return instance


def rollback(deals: Deals) -> None:
    with transaction.atomic():
        try:
            with transaction.atomic():
                changed(deals.one, stage="lost").save()
                Opportunity.objects.filter(pk=deals.two.pk).update(stage="lost")
                raise ZeroDivisionError
        except ZeroDivisionError:
            deals.one.refresh_from_db()
        changed(deals.one, stage="won").save()


def stale(deals: Deals) -> None:
    first, second = Opportunity.objects.get(pk=deals.one.pk), Opportunity.objects.get(pk=deals.one.pk)
    changed(first, stage="won").save()
    changed(second, pipeline="other").save()  # writes every column, and so puts the stage back


def stale_with_fields(deals: Deals) -> None:
    first, second = Opportunity.objects.get(pk=deals.one.pk), Opportunity.objects.get(pk=deals.one.pk)
    changed(first, stage="won").save()
    changed(second, pipeline="other").save(update_fields=["pipeline"])


def loaded(deals: Deals) -> None:
    now = deals.one.created_at
    from_fixture = Opportunity(name="From a fixture", created_at=now, updated_at=now)
    text = serializers.serialize("json", [changed(deals.one, stage="won"), from_fixture])
    for one in serializers.deserialize("json", text):
        one.save()


def upserted(deals: Deals) -> None:
    Opportunity.objects.bulk_create(
        [
            Opportunity(pk=deals.one.pk, name="One", stage="won"),
            Opportunity(pk=deals.two.pk, name="Two", stage="new"),
            Opportunity(name="Three"),
        ],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["name", "stage"],
    )


def ignored_conflicts(deals: Deals) -> None:
    new = [Opportunity(pk=deals.one.pk, name="Taken"), Opportunity(name="New"), Opportunity(name="Too")]
    Opportunity.objects.bulk_create(new, ignore_conflicts=True)
    Opportunity.objects.bulk_create([Opportunity(pk=deals.two.pk, name="Taken")], ignore_conflicts=True)


def bulk_updated(deals: Deals) -> None:
    changed(deals.one, stage="won", amount=10)
    changed(deals.two, amount=7)
    Opportunity.objects.bulk_update(deals[:2], ["stage", "amount"], batch_size=1)


def one_by_one(deals: Deals) -> None:
    for stage in ("a", "b", "b", "c"):
        changed(deals.one, stage=stage).save()


def other(stage: str = "new") -> Opportunity:
    return Opportunity(name="Other", stage=stage)


async def asynchronously(deals: Deals) -> None:
    made = await Opportunity.objects.acreate(name="Async")
    await changed(made, stage="won").asave()
    await Opportunity.objects.filter(pk=deals.one.pk).aupdate(stage="won")
    await Opportunity.objects.abulk_create([other()])
    await Opportunity.objects.abulk_update([changed(deals.two, stage="won")], ["stage"])
    await Opportunity.objects.aupdate_or_create(pk=deals.two.pk, defaults={"stage": "lost"})
    await Opportunity.objects.aget_or_create(name="Async")
    await sync_to_async(lambda: connection.close())()  # that of the thread that Django writes in


def delete_account(deals: Deals) -> None:
    deals.account.delete()


def delete_accounts(_: Deals) -> None:
    Account.objects.all().delete()


# What is done, and what must have been captured.
PATHS: dict[str, tuple[Callable[[Deals], Any], list[Any]]] = {
    "save, new": (lambda _: other().save(), [CREATED]),
    "save, new with force_insert": (lambda _: other().save(force_insert=True), [CREATED]),
    "save, new with a key of one's own": (lambda _: Opportunity(pk=uuid7(), name="Mine").save(), [CREATED]),
    "create": (lambda _: Opportunity.objects.create(name="Other"), [CREATED]),
    "save": (lambda deals: changed(deals.one, stage="won").save(), [WON]),
    "save, forced": (lambda deals: changed(deals.one, stage="won").save(force_update=True), [WON]),
    "save, two fields": (
        lambda deals: changed(deals.one, stage="won", amount=Decimal("12.50")).save(),
        [{**WON, "amount": (10.0, 12.5)}],
    ),
    "save, nothing changed": (lambda deals: deals.one.save(), []),
    "save, another field": (lambda deals: changed(deals.one, pipeline="other").save(), []),
    "save, a watched and another field": (
        lambda deals: changed(deals.one, stage="won", pipeline="p").save(),
        [{**WON, "pipeline": (None, "p")}],
    ),
    "save, to null": (lambda deals: changed(deals.one, stage=None).save(), [{"stage": ("new", None)}]),
    "save, four times": (
        one_by_one,
        [{"stage": ("new", "a")}, {"stage": ("a", "b")}, {"stage": ("b", "c")}],
    ),
    "save, another spelling of the same": (lambda deals: changed(deals.one, amount="10.000").save(), []),
    "save, rounded to what it was": (lambda deals: changed(deals.one, amount=10.0004).save(), []),
    "save, stale": (stale, [WON, {"stage": ("won", "new"), "pipeline": (None, "other")}]),
    "save, stale, one field": (stale_with_fields, [WON]),
    "save(update_fields)": (
        lambda deals: changed(deals.one, stage="won").save(update_fields=["stage"]),
        [WON],
    ),
    "save(update_fields), not this one": (
        lambda deals: changed(deals.one, stage="won", pipeline="p").save(update_fields=["pipeline"]),
        [],
    ),
    "save(update_fields), none": (lambda deals: changed(deals.one, stage="won").save(update_fields=[]), []),
    "save, deferred": (
        lambda deals: changed(Opportunity.objects.only("stage").get(pk=deals.one.pk), stage="won").save(),
        [WON],
    ),
    "save, F()": (
        lambda deals: changed(deals.one, amount=F("amount") + 1).save(),
        [{"amount": (10.0, 11.0)}],
    ),
    "save, F() that changes nothing": (lambda deals: changed(deals.one, amount=F("amount")).save(), []),
    "save, an expression": (
        lambda deals: changed(deals.one, stage=Concat(F("stage"), Value("er"))).save(),
        [{"stage": ("new", "newer")}],
    ),
    "update": (lambda _: Opportunity.objects.update(stage="won"), [WON, WON]),
    "update, some": (lambda _: Opportunity.objects.filter(name="One").update(stage="won"), [WON]),
    "update, by another table": (
        lambda _: Opportunity.objects.filter(account__name="Acme", name="Two").update(stage="won"),
        [WON],
    ),
    "update, distinct and ordered": (
        lambda _: Opportunity.objects.order_by("-name").distinct().update(stage="won"),
        [WON, WON],
    ),
    "update, nothing changed": (lambda _: Opportunity.objects.update(stage="new"), []),
    "update, another field": (lambda _: Opportunity.objects.update(pipeline="other"), []),
    "update, none there": (lambda _: Opportunity.objects.filter(name="Nobody").update(stage="won"), []),
    "update, F()": (
        lambda _: Opportunity.objects.filter(name="One").update(amount=F("amount") * 2),
        [{"amount": (10.0, 20.0)}],
    ),
    "update, by its own value": (
        lambda _: Opportunity.objects.filter(stage="new").update(stage="won"),
        [WON, WON],
    ),
    "update, Case": (
        lambda _: Opportunity.objects.update(
            stage=Case(When(name="One", then=Value("won")), default=F("stage"))
        ),
        [WON],
    ),
    "bulk_create": (lambda _: Opportunity.objects.bulk_create([other(), other(), other()]), [CREATED] * 3),
    "bulk_create, in batches": (
        lambda _: Opportunity.objects.bulk_create([other(), other()], 1),
        [CREATED] * 2,
    ),
    "bulk_create, none": (lambda _: Opportunity.objects.bulk_create([]), []),
    "bulk_create(ignore_conflicts)": (ignored_conflicts, [CREATED, CREATED]),
    "bulk_create(update_conflicts)": (upserted, [WON, CREATED]),
    "bulk_update": (bulk_updated, [WON, {"amount": (None, 7.0)}]),
    "get_or_create, new": (lambda _: Opportunity.objects.get_or_create(name="Other"), [CREATED]),
    "get_or_create, there": (lambda _: Opportunity.objects.get_or_create(name="One"), []),
    "update_or_create, new": (
        lambda _: Opportunity.objects.update_or_create(name="Other", defaults={"stage": "won"}),
        [CREATED],
    ),
    "update_or_create, there": (
        lambda _: Opportunity.objects.update_or_create(name="One", defaults={"stage": "won"}),
        [WON],
    ),
    "update_or_create, the same": (
        lambda _: Opportunity.objects.update_or_create(name="One", defaults={"stage": "new"}),
        [],
    ),
    "related manager, create": (lambda deals: deals.account.opportunities.create(name="Other"), [CREATED]),
    "related manager, update": (lambda deals: deals.account.opportunities.update(stage="won"), [WON, WON]),
    "rolled back savepoint": (rollback, [WON]),
    "loaddata": (loaded, []),
    "async": (
        lambda deals: asyncio.run(asynchronously(deals)),
        [CREATED, {"stage": (None, "won")}, WON, CREATED, WON, {"stage": ("won", "lost")}],
    ),
}

# Where the change is in the reference itself, a third workflow listens to it.
REFERENCES: dict[str, tuple[Callable[[Deals], Any], int]] = {
    "SET_NULL, one": (delete_account, 2),
    "SET_NULL, many": (delete_accounts, 2),
    "related manager, clear": (lambda deals: deals.account.opportunities.clear(), 2),
    "related manager, remove": (lambda deals: deals.account.opportunities.remove(deals.one), 1),
    "related manager, set": (lambda deals: deals.account.opportunities.set([deals.one]), 1),
    "related manager, add": (
        lambda deals: Account.objects.create(name="Other").opportunities.add(deals.one, deals.two),
        2,
    ),
    "related manager, add one by one": (
        lambda deals: Account.objects.create(name="Other").opportunities.add(deals.one, bulk=False),
        1,
    ),
    "save": (lambda deals: changed(deals.one, account=None).save(), 1),
    "save by its id": (
        lambda deals: changed(deals.one, account_id=None).save(update_fields=["account_id"]),
        1,
    ),
    "update by its id": (lambda _: Opportunity.objects.update(account_id=None), 2),
}


@pytest.fixture(params=["orm", "trigger"])
def mode(request: pytest.FixtureRequest) -> Any:
    with capturing(request.param):
        yield request.param


@pytest.fixture
def deals(mode: str) -> Deals:
    account = Account.objects.create(name="Acme")
    return Deals(
        Opportunity.objects.create(name="One", stage="new", amount=10, account=account),
        Opportunity.objects.create(name="Two", stage="new", account=account),
        account,
    )


def run(do: Callable[[Deals], Any], deals: Deals, depth: int) -> None:
    with ExitStack() as transactions:
        for _ in range(depth):
            transactions.enter_context(transaction.atomic())
        do(deals)


@pytest.mark.parametrize("depth", [0, 2], ids=["autocommit", "nested"])
@pytest.mark.parametrize("path", PATHS)
def test_one_event_per_real_change_of_a_watched_field(path: str, depth: int, deals: Deals) -> None:
    watching("opportunity", "created")
    watching("opportunity", "updated", "stage", "amount")
    do, expected = PATHS[path]
    if path == "async" and depth:
        pytest.skip("Django allows no transaction around async writes")
    run(do, deals, depth)
    assert sorted(map(repr, told())) == sorted(map(repr, expected))  # of one statement, in any order
    assert not UncapturedWrite.objects.exists()


@pytest.mark.parametrize("depth", [0, 2], ids=["autocommit", "nested"])
@pytest.mark.parametrize("path", REFERENCES)
def test_a_reference_that_changes_is_a_change(path: str, depth: int, deals: Deals) -> None:
    watching("opportunity", "updated", "account")
    do, number = REFERENCES[path]
    run(do, deals, depth)
    found = told()
    assert [list(one) for one in found] == [["account"]] * number
    assert all(before != after for one in found for before, after in one.values())
    assert not UncapturedWrite.objects.exists()


def test_both_modes_tell_the_same() -> None:
    """Every field of every kind, in one comparison: only instants and ids may differ."""
    watching("contact", "created")
    watching("contact", "updated")
    found: dict[str, list[Any]] = {}
    for mode in ("orm", "trigger"):
        with capturing(mode):
            contact = Contact.objects.create(
                first_name="Ada",
                email="ada@example.com",
                custom={"n": 1.50, "deep": {"b": [True, None, "é"]}},
            )
            changed(contact, title="Countess", do_not_contact=True, custom={}).save()
            contact.delete()
        events = OutboxEvent.objects.order_by("captured_at")
        found[mode] = [without_what_differs(event.payload) for event in events]
        OutboxEvent.objects.all().delete()
    assert found["orm"] == found["trigger"]
    assert len(found["orm"]) == 2


def without_what_differs(payload: Any) -> Any:
    fields = {name: value for name, value in payload["fields"].items() if not name.endswith("_at")}
    return {**payload, "id": "", "occurred_at": "", "fields": fields}


def test_many_records_that_many_triggers_ask_for_are_stored_in_several_statements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A statement may take 5 s, whatever the number of triggers: each record has its event for each all the same."""
    monkeypatch.setattr(capture, "AT_FIRST", 2)
    monkeypatch.setattr(capture, "MOST_EVENTS", 6)
    for _ in range(3):
        watching("opportunity", "created")
        watching("opportunity", "updated", "stage")
    Opportunity.objects.bulk_create([other() for _ in range(9)])
    Opportunity.objects.update(stage="won")
    assert told().count(CREATED) == 27
    assert told().count(WON) == 27
