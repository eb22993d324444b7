"""Ids that the database made of `random` were no ids before 2004, and could meet where sessions were given one seed.

A machine without a battery wakes up in 1970 and counts as it starts: there were 31 digits, and every captured save failed.
Two sessions after the same `setseed` gave the same number within one microsecond, and the second one's save failed.
Before PostgreSQL 17 what one transaction changed within a millisecond came in no order.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import pytest
from django.db import connection

from tests.concurrency import race
from triggers.records import database

pytestmark = pytest.mark.django_db(transaction=True)

VERSIONS = pytest.mark.parametrize("version", [160_000, 170_000])
INSTANTS = (
    *("1970-01-01T00:00:00Z", "1970-01-02T00:00:00.000123Z", "2004-11-03T19:53:47Z", "2004-11-03T19:53:48Z"),
    *("2026-03-01T08:30:00.999999Z", "2039-09-07T15:47:35Z", "2300-01-01T00:00:00Z"),
)


def made(instants: Iterable[str]) -> list[uuid.UUID]:
    """Ids as the database makes them at these instants, after the same seed."""
    made_at = database._new_hex_id().replace("clock_timestamp()", "instant::timestamptz")
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")
        cursor.execute(
            f"SELECT {made_at} FROM unnest(%s::text[]) WITH ORDINALITY i(instant, n) ORDER BY n",
            [[*instants]],
        )
        return [uuid.UUID(hex=found) for (found,) in cursor.fetchall()]


@VERSIONS
def test_whatever_the_clock_says_it_is_an_id_of_that_instant(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_server_version", lambda: version)

    ids = made(INSTANTS)

    assert ids == sorted(ids)
    assert {(one.version, one.variant) for one in ids} == {(7, uuid.RFC_4122)}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bool_and(extract(epoch FROM date_trunc('milliseconds', instant::timestamptz)) * 1000 = ms)"
            " FROM unnest(%s::text[], %s::bigint[]) i(instant, ms)",
            [[*INSTANTS], [one.int >> 80 for one in ids]],
        )
        assert cursor.fetchone() == (True,)


@VERSIONS
def test_microseconds_keep_their_order(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_server_version", lambda: version)

    ids = made(f"2026-03-01T08:30:00.{microsecond:06}Z" for microsecond in range(500_000, 503_000))

    assert ids == sorted(ids)


def test_given_sessions_of_one_seed_at_one_instant_then_their_ids_differ() -> None:
    instants = ["2026-03-01T08:30:00Z"] * 50

    first, second = race(*[lambda: made(instants)] * 2)

    assert len({*first, *second}) == 100
