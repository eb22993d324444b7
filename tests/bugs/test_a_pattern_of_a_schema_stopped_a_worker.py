"""An author's pattern and a model's text: linear time, times 10,000, was 39 seconds in which the process did nothing else.

And a reference to what is no schema, or a schema that multiplies itself, ended in an error of ours or not at all.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from executions.agents import patterns
from executions.agents.schemas import Schema, flaws_in
from lightfield.kernel.errors import RequestRefused


@pytest.mark.parametrize(
    "pattern", ["(a{1000}){10}b", "^(a{0,1000}b?){50}$", "((a{90}){9}|x){9}", "(?x)(a{99}) # (\n{99}"]
)
def test_a_pattern_that_is_long_with_its_repetitions_is_refused(pattern: str) -> None:
    schemas: list[dict[str, Any]] = [
        {"pattern": pattern},
        {"patternProperties": {pattern: {}}},
        {"default": {"pattern": pattern}},
    ]
    for schema in schemas:
        with pytest.raises(RequestRefused, match=r"config\.invalid"):
            Schema(schema)


def test_many_patterns_are_refused_as_one_long_one_is() -> None:
    schema = {"anyOf": [{"pattern": f"a{{500}}{letter}"} for letter in "abcdefghijkl"]}

    (flaw,) = flaws_in(schema)

    assert flaw.pointer == "/anyOf/9/pattern"


def test_a_match_that_takes_too_long_is_not_begun() -> None:
    told = Schema({"pattern": "(a{1000}){4}b"}).problems("a" * 60_000)

    assert "too much work" in told[0]["detail"]


@pytest.mark.parametrize(
    ("pattern", "length"),
    [("abc", 3), ("a{3}", 3), ("(a{100}){10}b", 1001), (r"a(b|c){3}d", 11), ("[a-z{9}]{2,5}x", 6), ("[]a]{4}", 4),
     (r"\p{Greek}{7}", 35), (r"[\w.]{2}\w\d", 16), (r"\{3}\){2}", 5), (r"[^\]{9}]{5}", 5), ("a{2,}", 2), ("a{9}{9}", 81), (")(a{9}", 9), ("(a{ 100 }){\n0010}", 1000), ("a{2, 7 }", 7), ("a{0}", 1)],
)  # fmt: skip
def test_the_length_of_a_pattern_has_its_repetitions_written_out(pattern: str, length: int) -> None:
    assert patterns.length(pattern) == length


@pytest.mark.parametrize("what", ["[", "{1", r"\p{", "(", "[["])
def test_a_pattern_of_any_kind_is_measured_at_once(what: str) -> None:
    assert patterns.length(what * 20_000) >= 0


WRONG_THERE = [
    {"properties": [1]}, {"type": "foo"}, {"allOf": {"a": 1}}, {"$ref": 5}, {"properties": {"a": 5}},
]  # fmt: skip


@pytest.mark.parametrize("elsewhere", WRONG_THERE)
def test_a_reference_to_what_is_no_schema_is_told_and_no_error_of_ours(elsewhere: dict[str, Any]) -> None:
    schema = Schema({"default": elsewhere, "$ref": "#/default"})

    told = schema.problems({"a": 1})

    assert "cannot be checked" in told[0]["detail"]


@pytest.mark.parametrize("branch", [{"type": "string"}, {"enum": ["v"]}, {"not": {}}])
def test_errors_that_quote_a_large_value_are_neither_kept_nor_made_without_end(
    branch: dict[str, Any],
) -> None:
    """2,000 branches and half a megabyte were 2 GB and 14 seconds."""
    schema = Schema({"anyOf": [branch] * 2000})
    value = {"a": ["x" * 50_000] * 10}

    tracemalloc.start()
    try:
        told = schema.problems(value)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert "too much work" in told[0]["detail"]
    assert most < 20 << 20
