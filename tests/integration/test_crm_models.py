"""The rows of the CRM: what tells them apart, what the database refuses, what is left when one is deleted."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, models, transaction
from django.utils import timezone

from crm.models import Account, Contact, Meeting, Note, Opportunity, Record, Task

pytestmark = pytest.mark.django_db

KINDS = [Account, Contact, Opportunity, Meeting, Task, Note]
NOON = timezone.now()


def one_of_each(**references: Any) -> list[Record]:
    """The smallest row of each kind, with those of `references` that it has."""
    smallest: dict[type[Record], dict[str, Any]] = {
        Account: {"name": "Acme"},
        Contact: {"last_name": "Lovelace"},
        Opportunity: {"name": "A deal"},
        Meeting: {"title": "A talk", "start_date": NOON, "end_date": NOON},
        Task: {"title": "Call"},
        Note: {"title": "Called"},
    }
    made: list[Record] = []
    for model, fields in smallest.items():
        named = {field.name for field in model._meta.fields}
        fitting = {name: value for name, value in references.items() if name in named}
        made.append(model._default_manager.create(**fields, **fitting))
    return made


@pytest.mark.parametrize("model", KINDS)
def test_they_are_plain_models_so_that_no_way_of_writing_them_is_special(model):
    assert model.save is models.Model.save
    assert model.save_base.__wrapped__ is models.Model.save_base  # capture stands around it
    assert model.delete is models.Model.delete
    assert type(model._default_manager) is models.Manager


@pytest.mark.parametrize("model", KINDS)
def test_every_reference_may_be_null_and_outlives_what_it_refers_to(model):
    for field in model._meta.fields:
        if isinstance(field, models.ForeignKey):
            assert field.null, field
            assert field.remote_field.on_delete is models.SET_NULL, field


def test_when_an_account_is_deleted_then_nothing_else_is():
    account = Account.objects.create(name="Acme")
    made = one_of_each(account=account)

    account.delete()

    for record in made:
        record.refresh_from_db()
        assert getattr(record, "account_id", None) is None


def test_when_a_person_is_deleted_then_their_records_stay():
    ada = User.objects.create_user("ada")
    made = one_of_each(owner=ada, assigned_to=ada, created_by=ada)

    ada.delete()

    for record in made:
        record.refresh_from_db()
        for name in ("owner_id", "assigned_to_id", "created_by_id"):
            assert getattr(record, name, None) is None


@pytest.mark.parametrize(
    ("first", "second", "constraint"),
    [
        (Contact(email="ada@example.com"), Contact(email="ADA@Example.com"), "contact_email_once"),
        (Contact(email="öl@example.com"), Contact(email="ÖL@example.com"), "contact_email_once"),
        (
            Account(name="A", website="https://acme.com"),
            Account(name="B", website="https://ACME.com"),
            "account_website_once",
        ),
    ],
)
def test_natural_keys_are_unique_whatever_their_case(first, second, constraint):
    first.save()

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        second.save()


def test_what_has_no_natural_key_may_be_there_many_times():
    for _ in range(2):
        Contact.objects.create(last_name="Lovelace")
        Account.objects.create(name="Acme")

    assert (Contact.objects.count(), Account.objects.count()) == (2, 2)


@pytest.mark.parametrize(
    ("record", "constraint"),
    [
        (Contact(title="CEO"), "contact_is_somebody"),
        (
            Meeting(title="Back in time", start_date=NOON, end_date=NOON - timedelta(seconds=1)),
            "meeting_ends_after_its_start",
        ),
        (
            Meeting(title="Secret", start_date=NOON, end_date=NOON, privacy_setting="x"),
            "meeting_privacy_known",
        ),
        (Task(title="Call", status="done"), "task_status_known"),
    ],
)
def test_the_database_refuses_what_makes_no_sense(record, constraint):
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        record.save()


@pytest.mark.parametrize(
    ("found", "index"),
    [
        (Contact.objects.filter(email__iexact="Ada@example.com"), "contact_email_once"),
        (Account.objects.filter(website__iexact="https://acme.com"), "account_website_once"),
        (Account.objects.filter(name__iexact="acme"), "account_by_name"),
    ],
)
def test_a_natural_key_is_found_by_its_index(found, index):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")

    assert index in found.order_by().explain()


def test_ids_are_in_the_order_of_making():
    made = [Note.objects.create(title=str(number)) for number in range(3)]

    assert {uuid.UUID(str(note.pk)).version for note in made} == {7}
    assert Note._meta.ordering == ("-id",)
