"""What the JSON fields of records may hold."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from crm.values import CUSTOM_BYTES, json_object, postal_address


@pytest.mark.parametrize("value", [{}, {"tier": "gold"}, {"a": {"b": [1, None, True, 1.5]}}])
def test_any_object_may_be_kept(value):
    json_object(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "text",
        {"a": float("nan")},
        {"a": "\0"},
        {"a": 1 << 70},
        {"a": "x" * CUSTOM_BYTES},
    ],
)
def test_what_cannot_be_kept_unchanged_is_refused(value):
    with pytest.raises(ValidationError):
        json_object(value)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"street": "1 Main St", "city": "Springfield", "postal_code": "12345", "country": "US"},
        {"latitude": -90, "longitude": 180.0},
        {"street2": None, "latitude": None},
    ],
)
def test_an_address_may_leave_parts_out(value):
    postal_address(value)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("1 Main St", "object"),
        ({"planet": "Mars"}, "planet"),
        ({"city": 7}, "city"),
        ({"city": "x" * 201}, "city"),
        ({"latitude": 90.1}, "latitude"),
        ({"longitude": float("nan")}, "longitude"),
        ({"latitude": True}, "latitude"),
        ({"latitude": "52.5"}, "latitude"),
    ],
)
def test_the_refusal_of_an_address_names_the_part(value, named):
    with pytest.raises(ValidationError, match=named):
        postal_address(value)
