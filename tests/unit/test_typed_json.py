"""What people type into the editor: plain words at the right line, whatever is wrong with it."""

from __future__ import annotations

import pytest

from lightfield.builder.texts import PlacedProblem, Unreadable, normalised, placed, read
from lightfield.kernel.errors import Problem


def refusal(text: str) -> PlacedProblem:
    with pytest.raises(Unreadable) as caught:
        read(text)
    return caught.value.problem


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', 3, 3, "comma"),
        ('{\n  "a" 1\n}', 2, 7, "colon"),
        ('{\n  "a": ,\n}', 2, 8, "value"),
        ("{\n  a: 1\n}", 2, 3, "double quotes"),
        ('{"a": "x\n"}', 1, 9, "line break"),
        ('{\n "a": "x\\q"}', 2, 9, "backslash"),
        ("{}\n\nmore", 3, 1, "more text"),
        ('{"a": "never ends', 1, 7, "closing quote"),
    ],
)
def test_a_syntax_error_is_told_in_plain_words_at_its_place(
    text: str, line: int, column: int, word: str
) -> None:
    problem = refusal(text)

    assert (problem.line, problem.column, problem.code) == (line, column, "payload.invalid_json")
    assert word in problem.detail


def test_an_escape_without_its_digits_is_told_at_its_line() -> None:
    problem = refusal('{\n"a": "\\u12"}')

    assert problem.line == 2
    assert "hex digits" in problem.detail


def test_a_trailing_comma_is_called_one() -> None:
    assert "comma too many" in refusal('{\n  "a": 1,\n}').detail
    assert "comma too many" in refusal("[1,\n]").detail


def test_an_empty_text_says_so() -> None:
    assert refusal(" \n ").detail == "There is nothing here yet."


def test_a_repeated_name_is_found_where_it_stands_again() -> None:
    problem = refusal('{\n  "a": 1,\n  "a": 2\n}')

    assert (problem.line, problem.pointer, problem.code) == (3, "/a", "payload.duplicate_key")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[" * 40 + "]" * 40, "payload.too_deep"),
        ("1e999", "payload.number_out_of_range"),
        ("NaN", "payload.not_a_number"),
        ('"\\u0000"', "payload.nul_character"),
        ('"\\ud800"', "payload.lone_surrogate"),
        ("\ud800", "payload.not_utf8"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_code_and_remedy(text: str, code: str) -> None:
    problem = refusal(text)

    assert problem.code == code
    assert problem.detail.count(".") >= 2


def test_problems_come_in_the_order_of_their_lines() -> None:
    text = '{\n "b": 1,\n "a": [\n  2]\n}'
    found = placed(text, [Problem("/a/0", "config.invalid", "A"), Problem("/b", "config.invalid", "B")])

    assert [(one.line, one.detail) for one in found] == [(2, "B"), (4, "A")]


def test_line_breaks_of_every_kind_are_one() -> None:
    assert normalised("a\r\nb\rc\n") == "a\nb\nc\n"
