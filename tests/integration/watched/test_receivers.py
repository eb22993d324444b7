"""Receivers of signals around a captured save: what they save themselves, and what happens when they raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.signals import post_save, pre_save

from tests.capturing import told, watching
from tests.watched_app.models import Country, Device, Invoice
from triggers.models import OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def watched(mode: str) -> None:
    for event in ("created", "updated"):
        watching("invoice", event)
        watching("country", event)


@contextmanager
def received(signal: Any, sender: Any, receiver: Any) -> Iterator[None]:
    signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)


def number(text: str) -> None:
    Invoice.objects.filter(pk=Invoice.objects.get().pk).update(number=text)


@pytest.mark.parametrize("signal", [pre_save, post_save])
def test_given_a_receiver_that_saves_the_record_again_then_each_real_change_is_told_once(signal: Any) -> None:
    # Given a receiver that changes the record by another instance, and one by the same
    invoice = Invoice.objects.create(number="1")

    def by_another(instance: Invoice, **_: Any) -> None:
        Invoice.objects.filter(pk=instance.pk).update(number="2")

    def by_the_same(instance: Invoice, **_: Any) -> None:
        if instance.state == "paid":
            instance.state = "booked"
            instance.save()

    # When it is saved with a change
    invoice.state = "paid"
    with received(signal, Invoice, by_another), received(signal, Invoice, by_the_same):
        invoice.save()

    # Then the events lead from what was to what is, each from where the one before ended
    state, text = "new", "1"
    for one in told()[1:]:
        before, after = one.get("state", (state, state))
        assert before == state
        state = after
        before, after = one.get("number", (text, text))
        assert before == text
        text = after
        assert one
    stored = Invoice.objects.get()
    assert (state, text) == (stored.state, stored.number)


def test_given_a_receiver_that_writes_another_record_then_both_are_told() -> None:
    def also(instance: Invoice, **_: Any) -> None:
        Country.objects.update_or_create(code="DE", defaults={"name": instance.state})

    with received(post_save, Invoice, also):
        invoice = Invoice.objects.create(number="1")
        invoice.state = "paid"
        invoice.save()
    assert told() == ["created", "created", {"state": ("new", "paid")}, {"name": ("new", "paid")}]


def refuse(**_: Any) -> None:
    raise ValueError("no")


@pytest.mark.parametrize("signal", [pre_save, post_save])
def test_given_a_receiver_that_raises_then_record_and_event_share_their_fate(
    signal: Any, settings: Any
) -> None:
    """Where the database captures, Django's save is as it ever was: committed before `post_save` is sent."""
    with received(signal, Invoice, refuse), pytest.raises(ValueError, match="no"):
        Invoice.objects.create(number="1")
    is_stored = signal is post_save and settings.LIGHTFIELD_CAPTURE == "trigger"
    assert Invoice.objects.exists() == is_stored
    assert OutboxEvent.objects.exists() == is_stored


@pytest.mark.parametrize("signal", [pre_save, post_save])
def test_given_a_transaction_whose_owner_catches_what_a_receiver_raises_then_it_goes_on(signal: Any) -> None:
    """As with Django alone: its `save` gives a transaction up for errors of the database only."""
    with transaction.atomic():
        with received(signal, Invoice, refuse), pytest.raises(ValueError, match="no"):
            Invoice.objects.create(number="1")
        Country.objects.create(code="DE")
    assert Invoice.objects.count() == (signal is post_save)  # saved before it raised
    assert len(told()) == 1 + Invoice.objects.count()


def test_given_a_transaction_that_the_database_gave_up_when_its_owner_goes_on_then_django_says_so() -> None:
    Country.objects.create(code="DE")
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            Country.objects.create(code="DE")
        with pytest.raises(transaction.TransactionManagementError):
            Country.objects.count()


def test_given_a_change_of_what_nobody_watches_inside_then_it_is_no_event() -> None:
    with received(post_save, Device, lambda **_: Country.objects.create(code="DE")):
        Device.objects.create(name="x")
    assert told() == ["created"]
    assert not connection.in_atomic_block
