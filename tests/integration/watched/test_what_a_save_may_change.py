"""`comparing.maybe_changed` spares a statement where a save plainly changes nothing, so it must never overlook a change.

Any value that Python lets one assign to any field, over any value that is stored: what differs in the row afterwards
is among what it named before.
"""

from __future__ import annotations

import enum
import json
import uuid
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.db.models import F, Value
from django.utils.safestring import mark_safe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightfield.kernel import sql
from tests.watched_app.models import Country, Device, Everything
from triggers.records import comparing, statements, watching

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
DEVICES = [uuid.UUID(int=1), uuid.UUID(int=2)]


class Word(str, enum.Enum):  # noqa: UP042  one whose `str` is another text than what is stored
    A = "a"
    OTHER = "Word.A"


class Number(enum.IntEnum):
    ONE = 1


TEXTS = [
    "",
    "a",
    "A",
    "Word.A",
    "F(slug)",
    "Value('a')",
    "1",
    "é",
    Word.A,
    mark_safe("a"),
    F("slug"),
    Value("a"),
    1,
]
NUMBERS = [0, 1, -1, True, False, 2**31 - 1, "1", 1.0, 1.5, Decimal("1.0"), Number.ONE, F("small"), Value(1)]
REALS = [0.0, -0.0, 0.1, 1e22, 1e300, float("nan"), float("inf"), Decimal("0.1"), "0.1"]
INSTANTS = [
    NOON,
    NOON.astimezone(timezone(timedelta(hours=5))),
    NOON.replace(microsecond=0),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(999, 1, 1, tzinfo=UTC),
    "2026-03-01T12:00:00.000005Z",
    F("made"),
]
DOCUMENTS = [
    *({}, [], "", 0, 0.0, 1, 1.0, True, False, 0.1, 1e22, 10**22, 2**70, 1e-7, "é", {"a": 1}, {"a": 1.0}),
    *(
        {"a": [1, {"b": None}]},
        {"b": 2, "a": 1},
        {1: "x"},
        {"1": "x"},
        [Word.A],
        ["a"],
        [Number.ONE],
        (1,),
        [1],
    ),
    *(Value(None, models.JSONField()), Value({"a": 1}, models.JSONField())),
]
POOLS: dict[str, list[Any]] = {
    "whole": NUMBERS,
    "small": NUMBERS,
    "exact": [*NUMBERS, Decimal("1.0004"), Decimal("0.999"), "1.50", 0.1, F("doubled")],
    "rough": [*NUMBERS, *REALS],
    "maybe": [True, False, 1, 0, "t", "False"],
    "line": TEXTS,
    "text": TEXTS,
    "slug": TEXTS,
    "mail": TEXTS,
    "mark": [*DEVICES, str(DEVICES[0]), DEVICES[0].hex, 1],
    "host": ["10.0.0.1", " 10.0.0.1", "::ffff:10.0.0.1", "2001:DB8::1", "2001:db8:0:0::1"],
    "at": [*INSTANTS, date(2026, 3, 1)],
    "day": [date(2026, 3, 1), date(999, 3, 1), "2026-03-01", NOON, F("day")],
    "clock": [time(12), time(12, 0, 0, 5), "12:00"],
    "length": [timedelta(1), timedelta(0, 1, 5), "1 00:00:00", 5],
    "raw": [b"", b"a" * 100, memoryview(b"a"), b"\0"],
    "document": DOCUMENTS,
    "encoded": [*DOCUMENTS, {"at": NOON}, [Decimal("1.5")], {"at": "2026-03-01T12:00:00.000Z"}, ["1.5"]],
    "words": [[], ["a"], ["A"], [Word.A], ["1"], [1], ("a",), [None], '["a"]', Value(["a"])],
    "grid": [[], [[1], [2]], [[1.0], [2]], [["1"], ["2"]], [[True], [2]]],
    "instants": [[], [NOON], [INSTANTS[1]], [None, NOON]],
    "upload": ["", "a", "b"],
    "owner_id": [1, "1", True, 2, F("whole")],
    "country_id": ["DE", "FR", "F(line)", F("line"), Word.A],
    "device_id": [*DEVICES, str(DEVICES[0])],
}
VALUES = {name: st.sampled_from([None, *pool]) for name, pool in POOLS.items()}
# Few at once: what Django or PostgreSQL refuses would spoil most rows of all fields.
FIELDS = st.lists(st.sampled_from(list(POOLS)), min_size=1, max_size=3, unique=True)
ROWS = FIELDS.flatmap(
    lambda names: st.tuples(*[st.fixed_dictionaries({name: VALUES[name] for name in names})] * 2)
)


@pytest.fixture
def others() -> None:
    """What the references may lead to."""
    for number in (1, 2):
        User.objects.create(id=number, username=str(number))
    Country.objects.bulk_create(Country(code=code) for code in ("DE", "FR", "F(line)", "a"))
    Device.objects.bulk_create(Device(id=key) for key in DEVICES)


def as_json(watch: watching.Watch, pk: Any) -> str:
    return str(sql.rows(statements.before_rows(watch), {"pks": [watch.pk_text(pk)]})[0][1])


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=ROWS, is_partial=st.booleans())
def test_what_differs_afterwards_was_named_before(others: None, rows: Any, is_partial: bool) -> None:
    stored, assigned = rows
    update_fields = list(assigned)[:1] if is_partial else None
    watch = watching.find(Everything)
    assert watch is not None
    with suppress(_NotStorable), transaction.atomic():
        # Given a stored row, and an instance of it to which anything was assigned
        row = _storing(lambda: Everything.objects.create(**stored))
        instance = Everything.objects.get(pk=row.pk)
        for name, value in assigned.items():
            setattr(instance, name, value)

        # When it is asked, and then saved
        before = as_json(watch, row.pk)
        named = comparing.maybe_changed(watch, instance, before, update_fields)
        _storing(lambda: instance.save(update_fields=update_fields))

        # Then whatever differs was named
        was, now = json.loads(before), json.loads(as_json(watch, row.pk))
        assert {name for name in now if not _is_equal(was[name], now[name])} <= named
        transaction.set_rollback(True)  # references to nothing are refused later, when the test is over


@pytest.mark.parametrize("name", POOLS)
def test_given_a_value_that_is_stored_as_it_is_when_it_is_saved_again_then_most_kinds_need_no_look(
    name: str, others: None
) -> None:
    """What makes it worth having: the kinds that are told by the database alone are few."""
    watch = watching.find(Everything)
    assert watch is not None
    row = Everything.objects.create(**{name: POOLS[name][1 if name == "line" else 0]})
    instance = Everything.objects.get(pk=row.pk)
    field = name.removesuffix("_id")
    named = comparing.maybe_changed(watch, instance, as_json(watch, row.pk), [field])
    asks_always = {"clock", "length", "raw", "upload"}
    assert (field in named) == (field in asks_always)


class _NotStorable(Exception):
    pass


def _storing(deed: Any) -> Any:
    """Django or PostgreSQL may refuse what was assigned: then there is nothing to compare."""
    try:
        with transaction.atomic():
            stored = deed()
            connection.check_constraints()  # references are looked at when a transaction ends
            return stored
    except Exception as error:
        raise _NotStorable from error


def _is_equal(one: Any, other: Any) -> bool:
    """As jsonb is: 1 and 1.0 are one number, and true is none."""
    found = sql.row(
        "SELECT %(one)s::jsonb = %(other)s::jsonb", {"one": json.dumps(one), "other": json.dumps(other)}
    )
    return found == (True,)


def test_given_numbers_that_python_does_not_read_when_it_is_asked_then_anything_may_have_changed() -> None:
    watch = watching.find(Everything)
    assert watch is not None
    row = Everything.objects.create(document={})
    with connection.cursor() as cursor:
        cursor.execute("""UPDATE watched_app_everything SET document = '{"n": 1e5000}'""")
    instance = Everything.objects.defer("document").get(pk=row.pk)
    assert comparing.maybe_changed(watch, instance, as_json(watch, row.pk), ["line"]) >= {"line"}
    assert comparing.maybe_changed(watch, instance, "[" * 5000 + "]" * 5000, ["line"]) >= {"line"}
