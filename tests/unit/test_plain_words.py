from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lightfield.kernel.plain_words import ago, fact, length, money, size

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 ms"),
        (0, "0 ms"),
        (0.0004, "0 ms"),
        (0.34, "340 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (2.44, "2.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7_830, "2 h 10 min"),
        (3_659, "1 h"),
        (86_400, "1 d"),
        (360_000, "4 d 4 h"),
    ],
)
def test_lengths_have_two_units_at_most(seconds: float, words: str) -> None:
    assert length(seconds) == words


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        (timedelta(0), "just now"),
        (timedelta(milliseconds=-900), "just now"),
        (timedelta(seconds=1), "1 s ago"),
        (timedelta(seconds=59.9), "59 s ago"),
        (timedelta(minutes=3, seconds=59), "3 min ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=400), "400 d ago"),
        (timedelta(seconds=-12), "in 12 s"),
    ],
)
def test_instants_are_told_by_their_largest_unit(delta: timedelta, words: str) -> None:
    assert ago(NOON - delta, NOON) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("text", "text"),
        (403, "403"),
        (None, "null"),
        ([], "[]"),
        ({"a": True}, '{"a": true}'),
        (
            [
                {"pointer": "/email", "detail": "Is none.", "code": "x"},
                {"pointer": "", "detail": "Two bodies."},
            ],
            "/email: Is none; as a whole: Two bodies",
        ),
    ],
)
def test_facts_are_told_without_the_language_that_we_are_written_in(value: object, words: str) -> None:
    assert fact(value) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (4300, "4.2 KiB"), (1 << 20, "1.0 MiB")],
)
def test_sizes(count: int, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("dollars", "words"),
    [
        (None, ""),
        (0, "$0"),
        (12.4, "$12.40"),
        (0.3, "$0.30"),
        (0.05, "$0.05"),
        (0.0312, "$0.031"),
        (0.01, "$0.01"),
        (0.004375, "$0.0044"),
        (0.0000012, "$0.0000012"),
        (0.00100, "$0.001"),
    ],
)
def test_small_amounts_of_money_keep_the_digits_that_count(dollars: float | None, words: str) -> None:
    assert money(dollars) == words
