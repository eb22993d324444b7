"""A migration that gave a watched column another type made every save of the table fail, with LIGHTFIELD_CAPTURE=trigger.

The functions compare each column in the way of the type that it had. They knew of columns that leave, not of these; and
a connection that had saved before kept what it had planned for the old type, also once the functions were made anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from crm.models import Opportunity
from tests.capturing import capturing, told, watching
from tests.concurrency import race
from triggers.records import database

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _database_captures() -> Iterator[None]:
    with capturing("trigger"):
        yield


@pytest.fixture
def as_it_was() -> Iterator[None]:
    yield
    run(f"ALTER TABLE crm_opportunity ALTER COLUMN stage TYPE varchar({length_of('stage')}) USING NULL")
    run("ALTER TABLE crm_opportunity ALTER COLUMN updated_at TYPE timestamptz USING now()")
    run("ALTER TABLE crm_opportunity ALTER COLUMN created_at TYPE timestamptz USING now()")


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def length_of(name: str) -> int | None:
    return getattr(Opportunity._meta.get_field(name), "max_length", None)


@pytest.mark.parametrize("kind", ["text", "integer", "jsonb", "inet", "timestamptz", "bytea", "text[]"])
def test_given_a_text_of_another_type_then_saves_go_on_and_are_told(kind: str, as_it_was: None) -> None:
    assert_saves_are_told(f"ALTER TABLE crm_opportunity ALTER COLUMN stage TYPE {kind} USING NULL")


@pytest.mark.parametrize("kind", ["text", "integer", "date", "timestamp"])
@pytest.mark.parametrize("column", ["created_at", "updated_at"])
def test_given_an_instant_of_another_type_then_saves_go_on_and_are_told(
    column: str, kind: str, as_it_was: None
) -> None:
    value = "1" if kind == "integer" else "'2026-03-01'"
    assert_saves_are_told(
        f"ALTER TABLE crm_opportunity ALTER COLUMN {column} TYPE {kind} USING {value}::{kind}"
    )


def test_given_a_field_of_another_type_then_migrate_makes_the_functions_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that connections which planned for the old one plan again."""
    monkeypatch.setattr(Opportunity._meta.get_field("stage"), "max_length", 7)

    assert "crm_opportunity has lightfield_capture, of another release or setting" in database.differences()


def assert_saves_are_told(alter: str) -> None:
    """By a connection that saved before, which has planned for the type as it was, and by a new one."""
    watching("opportunity", "updated", "amount")
    watching("opportunity", "created")
    Opportunity.objects.create(name="A deal")
    run("UPDATE crm_opportunity SET amount = 1")
    assert race(lambda: run(alter)) == [None]

    save_again()
    assert race(save_again) == [None]

    assert told() == ["created", {"amount": (None, 1)}, *saved_again(1), *saved_again(2)]


def save_again() -> None:
    run("UPDATE crm_opportunity SET amount = amount + 1")
    run(
        "INSERT INTO crm_opportunity SELECT (jsonb_populate_record(o, jsonb_build_object('id', gen_random_uuid(), "
        "'amount', null))).* FROM crm_opportunity o WHERE amount IS NOT NULL"
    )


def saved_again(amount: int) -> list[Any]:
    return [{"amount": (amount, amount + 1)}, "created"]
