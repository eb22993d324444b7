"""LIGHTFIELD_CAPTURE=trigger: the ids that the database gives to events, without asking the kernel for random bits."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from crm.models import Opportunity
from lightfield.kernel.ids import uuid7
from tests.capturing import capturing, watching
from triggers.models import OutboxEvent
from triggers.records import database

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE_BOUNDS_OF_RANDOM = 160_000
LOW_HALF = (1 << 64) - 1


@pytest.fixture(params=[None, BEFORE_BOUNDS_OF_RANDOM], ids=["this server", "before PostgreSQL 17"])
def database_captures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param:
        monkeypatch.setattr(database, "_server_version", lambda: request.param)
    with capturing("trigger"):
        yield


def ids() -> list[uuid.UUID]:
    return list(OutboxEvent.objects.order_by("id").values_list("id", flat=True))


@pytest.mark.usefixtures("database_captures")
def test_they_are_of_version_7_and_between_what_python_makes_before_and_after() -> None:
    watching("opportunity", "created")
    watching("opportunity", "created")  # who asks alone is told by an INSERT of constants, several in a loop
    before = uuid7()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")

    Opportunity.objects.create(name="A deal")

    first, second = ids()
    assert {one.version for one in (first, second)} == {7}
    assert {one.variant for one in (first, second)} == {uuid.RFC_4122}
    assert before.int >> 80 <= first.int >> 80 <= second.int >> 80 <= uuid7().int >> 80
    assert set(OutboxEvent.objects.values_list("trace_id", flat=True)) == {first.hex}


@pytest.mark.usefixtures("database_captures")
def test_changes_of_one_transaction_keep_their_order() -> None:
    watching("opportunity", "updated", "stage")
    deal = Opportunity.objects.create(name="A deal", stage="0")
    with transaction.atomic():
        for number in range(1, 201):
            Opportunity.objects.filter(pk=deal.pk).update(stage=str(number))

    events = OutboxEvent.objects.order_by("id").values_list("payload___diff__stage__after", flat=True)
    assert list(events) == [str(number) for number in range(1, 201)]


def test_given_sessions_with_the_same_random_numbers_then_their_ids_differ() -> None:
    with capturing("trigger"):
        watching("opportunity", "created")
        for _ in range(2):
            with connection.cursor() as cursor:
                cursor.execute("SELECT setseed(0.5)")
            Opportunity.objects.create(name="A deal")

        first, second = ids()
        assert first.int & LOW_HALF == second.int & LOW_HALF
        assert first < second
