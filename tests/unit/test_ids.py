"""UUIDv7: what is made later sorts later, and what is made of an instant tells it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lightfield.kernel.ids import uuid7


def test_ids_of_one_millisecond_keep_their_order() -> None:
    first = datetime(2026, 11, 29, 12, 0, 0, 250_000, UTC)
    instants = [first + timedelta(microseconds=n) for n in range(2_000)]

    made = [uuid7(instant) for instant in instants]

    assert made == sorted(made)
    assert len({one.int >> 80 for one in made}) == 2  # milliseconds


@pytest.mark.parametrize(
    ("at", "millis"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(2026, 11, 29, 12, 0, 0, 999_999, UTC), 1_795_953_600_999),
    ],
)
def test_an_id_is_of_version_7_and_tells_its_instant(at: datetime, millis: int) -> None:
    made = uuid7(at)

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == millis
    assert len({uuid7(at) for _ in range(1_000)}) == 1_000
