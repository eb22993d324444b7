"""What an event says of each kind of field, to the letter, whoever captured it."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from lightfield.kernel import strict_json
from tests.capturing import payloads, told, watching
from tests.watched_app.models import Country, Device, Everything
from triggers.models import OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True)

KEY = uuid.UUID(int=7)
# What Python stores, and what the event tells.
TOLD: dict[str, list[tuple[Any, Any]]] = {
    "whole": [(2**53 + 1, 2**53 + 1), (0, 0), (-1, -1)],
    "small": [(7, 7)],
    "exact": [(Decimal("10.500"), 10.5), (Decimal("0.001"), 0.001), (Decimal("-7"), -7.0)],
    "rough": [
        *((0.1, 0.1), (1e300, 1e300), (1.0, 1), (-0.0, 0)),
        *((float("nan"), "NaN"), (float("inf"), "Infinity"), (float("-inf"), "-Infinity")),
    ],
    "maybe": [(True, True), (False, False)],
    "line": [("Ada", "Ada"), ("", ""), ('é"\\\t', 'é"\\\t'), ("{{ trigger }}", "{{ trigger }}")],
    "text": [("one\ntwo", "one\ntwo")],
    "slug": [("a-b", "a-b")],
    "mail": [("ada@example.com", "ada@example.com")],
    "link": [("https://example.com", "https://example.com")],
    "mark": [(KEY, str(KEY))],
    "host": [("10.0.0.1", "10.0.0.1"), ("2001:DB8::1", "2001:db8::1")],
    "at": [
        (datetime(2026, 3, 1, 12, tzinfo=UTC), "2026-03-01T12:00:00.000000Z"),
        (datetime(2026, 3, 1, 1, 0, 0, 5, timezone(timedelta(hours=5))), "2026-02-28T20:00:00.000005Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
    ],
    "day": [(date(2026, 3, 1), "2026-03-01")],
    "clock": [(time(9, 30), "09:30:00"), (time(9, 30, 0, 5), "09:30:00.000005")],
    "length": [(timedelta(days=1, seconds=1, microseconds=5), 86401.000005), (timedelta(0), 0.0)],
    "raw": [(b"\0\xff", "AP8="), (b"", ""), (b"a" * 60, "YWFh" * 20)],
    "document": [
        ({"n": [1, 1.5, True, None, "é"]}, {"n": [1, 1.5, True, None, "é"]}),
        *(([], []), ("text", "text"), (0, 0), (False, False)),
    ],
    "encoded": [({"at": datetime(2026, 3, 1, tzinfo=UTC)}, {"at": "2026-03-01T00:00:00Z"})],
    "words": [(["a", "b"], ["a", "b"]), ([], [])],
    "grid": [([[1, 2], [3, 4]], [[1, 2], [3, 4]])],
    "instants": [
        ([datetime(2026, 3, 1, 12, tzinfo=UTC), None], ["2026-03-01T12:00:00.000000Z", None]),
        ([], []),
    ],
    "upload": [("uploads/a.txt", "uploads/a.txt")],
    "made": [(datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01T00:00:00.000000Z")],
    "owner_id": [(1, 1)],
    "country_id": [("DE", "DE")],
    "device_id": [(KEY, str(KEY))],
}
# What stands for no value, where it is not null: Django stores no null for a file.
NOTHING = {"made": (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00.000000Z"), "upload": ("", "")}
ONE_BY_ONE = [(name, value, told_as) for name, pairs in TOLD.items() for value, told_as in pairs]


@pytest.fixture(autouse=True)
def watched(mode: str) -> None:
    User.objects.create(id=1)
    Country.objects.create(code="DE")
    Device.objects.create(id=KEY)
    watching("everything", "created")
    watching("everything", "updated")


def test_a_new_record_is_told_whole() -> None:
    # Given one with each kind of field
    stored = {name: pairs[0][0] for name, pairs in TOLD.items()}
    one = Everything.objects.create(**stored)

    # Then the event is this and no more
    (payload,) = payloads()
    assert payload == {
        "id": str(one.pk),
        "type": "everything",
        "occurred_at": payload["occurred_at"],
        "fields": {
            **{name.removesuffix("_id"): pairs[0][1] for name, pairs in TOLD.items()},
            "shouted": "ADA",
            "doubled": 21.0,
        },
    }
    assert datetime.fromisoformat(payload["occurred_at"]).tzinfo == UTC


def test_each_kind_of_field_is_told_as_the_documents_say() -> None:
    # Given a record without values
    one = Everything.objects.create(made=datetime(2026, 1, 1, tzinfo=UTC))
    OutboxEvent.objects.all().delete()

    # When each kind of value is set and set to null again, by a save and by an update
    for name, value, _ in ONE_BY_ONE:
        setattr(one, name, value)
        one.save()
        one.save()
        Everything.objects.update(**{name: NOTHING.get(name, (None, None))[0]})
        one.refresh_from_db()

    # Then each of the two is one event with the value before and after
    expected = []
    for name, _, told_as in ONE_BY_ONE:
        nothing = NOTHING.get(name, (None, None))[1]
        pair = {name.removesuffix("_id"): (nothing, told_as)}
        if name == "line":
            pair["shouted"] = (None, told_as.upper())
        if name == "exact":
            pair["doubled"] = (None, told_as * 2)
        expected += [pair, {key: (after, before) for key, (before, after) in pair.items()}]
    assert told() == expected


# Of what only raw SQL stores: how the event tells it, which stays readable whatever it is.
RAW: dict[str, tuple[str, str, Any]] = {
    "a number beyond any float": ("document", """'{"n": 1e5000}'""", {"truncated": True, "bytes": 5008}),
    "the same, far down": ("document", """'[[{"n": [-1e400]}]]'""", {"truncated": True, "bytes": 415}),
    "one that is next to nothing": ("document", "'1e-5000'", 0.0),
    "a large one that is a float": ("document", "'[1e308, -1e308]'", [1e308, -1e308]),
    "a nest": (
        "document",
        "(repeat('[', 900) || repeat(']', 900))::jsonb",
        {"truncated": True, "bytes": 1800},
    ),
    "instants before all and after": ("at", "'infinity'", "infinity"),
    "a day after all": ("day", "'-infinity'", "-infinity"),
    "a text of a megabyte": ("text", "repeat('a', 1048576)", {"truncated": True, "bytes": 1048578}),
}


@pytest.mark.parametrize("kind", RAW)
def test_given_what_raw_sql_stored_when_it_is_captured_then_the_event_can_be_read(
    kind: str, mode: str
) -> None:
    # Given a row that Django did not write
    name, text, told_as = RAW[kind]
    one = Everything.objects.create(line="a")
    OutboxEvent.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE watched_app_everything SET {name} = {text}")

    # When Django changes it, which must not need to read that value
    one = Everything.objects.defer(*RAW_FIELDS).get(pk=one.pk)
    one.line = "b"
    one.save()
    Everything.objects.update(line="c")

    # Then all events can be read, and only that value is cut
    found = payloads()
    if mode == "trigger":
        raw, *found = found
        assert raw["_diff"] == {name: {"before": None, "after": told_as}}
    assert [one["_diff"]["line"] for one in found] == [
        {"before": "a", "after": "b"},
        {"before": "b", "after": "c"},
    ]
    for one in found:
        assert one["fields"][name] == told_as
        assert list(one["_diff"]) == ["line", "shouted"]
        assert len(strict_json.canonical(one)) < strict_json.MAX_BYTES


RAW_FIELDS = ["document", "at", "day"]


def test_given_a_document_that_changes_when_it_is_too_large_then_both_sides_say_how_large() -> None:
    one = Everything.objects.create(text="é" * 600_000, line="a")
    one.text = "é" * 600_000 + "!"
    one.line = "b"
    one.save()
    created, updated = payloads()
    assert created["fields"]["text"] == {"truncated": True, "bytes": 1_200_002}
    assert updated["_diff"] == {
        "line": {"before": "a", "after": "b"},
        "shouted": {"before": "A", "after": "B"},
        "text": {
            "before": {"truncated": True, "bytes": 1_200_002},
            "after": {"truncated": True, "bytes": 1_200_003},
        },
    }


def test_given_documents_of_half_a_megabyte_when_they_fit_then_they_are_told_whole() -> None:
    Everything.objects.create(text="a" * 500_000, line="a")
    assert len(payloads()[0]["fields"]["text"]) == 500_000
