"""A list whose column has a size, `varchar(100)[50]`, counted as text; one of instants was not spelled as elsewhere."""

from __future__ import annotations

import pytest

from triggers.records import describing
from triggers.records.columns import item_type


def test_a_list_is_one_whether_its_column_has_a_size_or_not() -> None:
    forms = {
        (entry.entity, field.name): field.form for entry in describing.entries() for field in entry.fields
    }

    assert forms["account", "industry"] == forms["meeting", "attendee_emails"] == "list"


@pytest.mark.parametrize(
    ("kind", "of_items"),
    [
        ("varchar(100)[50]", "varchar(100)"),
        ("timestamp with time zone[5]", "timestamp with time zone"),
        ("date[]", "date"),
        ("integer[][]", "integer[]"),
        ("varchar(100)", ""),
        ("jsonb", ""),
    ],
)
def test_the_type_of_an_arrays_items(kind: str, of_items: str) -> None:
    assert item_type(kind) == of_items
