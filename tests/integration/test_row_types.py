"""LIGHTFIELD_CAPTURE=trigger: the types whose JSON is that of a record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from crm.models import Opportunity
from tests.capturing import capturing, payloads, told, watching
from triggers.records import columns, database
from triggers.records.watching import Watch, find

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _database_captures() -> Iterator[None]:
    with capturing("trigger"):
        yield


def run(statement: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def row_types() -> set[str]:
    return {
        name
        for (name,) in run("SELECT typname FROM pg_type WHERE typname ~ '^lightfield_row_' AND typtype = 'c'")
    }


def type_of_opportunities() -> str:
    found = columns.row_type(watch())
    assert found is not None
    return found[0]


def watch() -> Watch:
    found = find(Opportunity)
    assert found is not None
    return found


def test_given_functions_made_anew_then_the_type_before_leaves_one_migrate_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A save may be in the middle of the function before, which needs it."""
    before = type_of_opportunities()
    assert before in row_types()
    monkeypatch.setitem(columns.TOLD_AS, "timestamp with time zone", "varchar")
    now = type_of_opportunities()

    database.arrange()
    assert {before, now} <= row_types()
    database.arrange()
    assert now in row_types()
    assert before not in row_types()

    watching("opportunity", "created")
    Opportunity.objects.create(name="A deal")
    assert told() == ["created"]


def test_given_a_column_that_grew_longer_then_its_values_are_told_whole() -> None:
    watching("opportunity", "created")
    watching("opportunity", "updated", "stage")
    deal = Opportunity.objects.create(name="A deal")
    run("ALTER TABLE crm_opportunity ALTER COLUMN stage TYPE varchar(3000)")
    try:
        run(f"UPDATE crm_opportunity SET stage = repeat('long', 500) WHERE id = '{deal.pk}'")
        assert payloads()[-1]["fields"]["stage"] == "long" * 500
    finally:
        length = Opportunity._meta.get_field("stage").max_length
        run(f"ALTER TABLE crm_opportunity ALTER COLUMN stage TYPE varchar({length}) USING 'short'")


def test_given_a_field_whose_name_no_type_takes_then_it_is_told_pair_by_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(columns, "MOST_NAME_BYTES", 5)
    watching("opportunity", "created")
    assert columns.row_type(watch()) is None

    database.arrange()
    Opportunity.objects.create(name="A deal", stage="new")

    (payload,) = payloads()
    assert (payload["fields"]["name"], payload["fields"]["stage"]) == ("A deal", "new")
