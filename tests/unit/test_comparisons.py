"""The operators of `condition` and `find_records`, by their table."""

from __future__ import annotations

import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.comparisons import OPERATORS, Operator, compare

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-100, 100)
    | st.floats(-100, 100, width=16)
    | st.sampled_from(["", "5", "5.0", "abc", "true", "2026-01-01", "2026-01-01T01:00:00+01:00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (5, 5.0, True),
        (5, "5", True),
        ("5.0", 5, True),
        (" 5 ", 5, True),
        ("5", "5.0", False),
        ("007", "7", False),
        ("007", 7, True),
        (0.1, "0.1", True),
        (5, "5x", False),
        ("won", "won", True),
        ("Won", "won", False),
        ("won ", "won", False),
        (None, None, True),
        (None, "", False),
        (None, 0, False),
        (None, False, False),
        (True, True, True),
        (True, "true", True),
        ("False", False, True),
        (True, 1, False),
        (0, False, False),
        (True, "yes", False),
        ("2026-03-01", "2026-03-01T00:00:00Z", True),
        ("2026-03-01T10:00:00+01:00", "2026-03-01T09:00Z", True),
        ("2026-03-01 09:00", "2026-03-01T09:00:00Z", True),
        ("2026-03-01", "2026-03-02", False),
        ("2026-02-30", "2026-02-30", True),
        ("20260301", "2026-03-01", False),
        ("0001-01-01T00:00:00+14:00", "0001-01-01", False),
        ([1, "a"], [1.0, "a"], True),
        ([1], ["1"], False),
        ([True], [1], False),
        ([1, 2], [2, 1], False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": 2}, False),
        ({}, [], False),
        ([], None, False),
        ([1], 1, False),
    ],
)
def test_is_and_its_opposite(left, right, equal):
    assert compare(left, "is", right) is equal
    assert compare(right, "is", left) is equal
    assert compare(left, "is_not", right) is not equal


@pytest.mark.parametrize(
    ("left", "right", "holds"),
    [
        ("banana", "nan", True),
        ("Banana", "ban", False),
        ("a1b", 1, True),
        (12345, "34", True),
        (True, "ru", True),
        ("abc", "", True),
        ("abc", None, False),
        (None, "a", False),
        ("abc", ["a"], False),
        (["a", "b"], "a", True),
        (["a", "b"], "A", False),
        ([1, 2], "2", True),
        ([None], None, True),
        (["a", "b", "c"], ["a", "c"], True),
        (["a"], ["a", "c"], False),
        ([], "a", False),
        ({"a": 1}, "a", True),
        ({"a": 1}, "b", False),
        ({"a": 1}, 1, False),
    ],
)
def test_contains_and_its_opposite(left, right, holds):
    assert compare(left, "contains", right) is holds
    assert compare(left, "does_not_contain", right) is not holds


@pytest.mark.parametrize(
    ("left", "right", "holds"),
    [
        ("a", ["a", "b"], True),
        ("c", ["a", "b"], False),
        (5, ["5", "6"], True),
        (None, [None], True),
        (None, [], False),
        (["x", "b"], ["a", "b"], True),
        (["x"], ["a"], False),
        ("a", "a", True),
        ([], ["a"], False),
    ],
)
def test_is_any_of_and_its_opposite(left, right, holds):
    assert compare(left, "is_any_of", right) is holds
    assert compare(left, "is_none_of", right) is not holds


@pytest.mark.parametrize(
    ("lesser", "greater"),
    [
        (1, 2),
        (1.5, "2"),
        ("9", "10"),
        ("-3", 0),
        ("2026-03-01", "2026-03-01T00:00:01Z"),
        ("2026-03-01T10:00:00+02:00", "2026-03-01T09:00:00Z"),
        ("apple", "banana"),
        ("Z", "a"),
        ("10", "9x"),
    ],
)
def test_order(lesser, greater):
    assert compare(lesser, "lt", greater)
    assert compare(lesser, "lte", greater)
    assert compare(greater, "gt", lesser)
    assert compare(greater, "gte", lesser)
    assert not compare(lesser, "gt", greater)
    assert not compare(greater, "lte", lesser)
    assert compare(lesser, "lte", lesser)
    assert compare(lesser, "gte", lesser)
    assert not compare(lesser, "lt", lesser)


@pytest.mark.parametrize(("left", "right"), [(None, 1), (1, None), ("a", 1), (True, 0), ([1], [2]), ({}, 1)])
@pytest.mark.parametrize("operator", ["gt", "gte", "lt", "lte"])
def test_what_has_no_order_is_never_greater_or_less(left, right, operator):
    assert compare(left, operator, right) is False


@pytest.mark.parametrize(
    ("value", "there"),
    [
        (None, False),
        ("", False),
        ([], False),
        ({}, False),
        (0, True),
        (False, True),
        (" ", True),
        ([None], True),
    ],
)
def test_is_set(value, there):
    assert compare(value, "is_set") is there
    assert compare(value, "is_set", True) is there
    assert compare(value, "is_set", False) is not there
    assert compare(value, "is_set", "false") is not there


def test_the_table_and_the_type_name_the_same_operators():
    assert set(OPERATORS) == set(get_args(Operator))


@given(left=JSON, right=JSON)
def test_is_is_symmetric_and_reflexive(left, right):
    assert compare(left, "is", left)
    assert compare(left, "is", right) == compare(right, "is", left)


@given(left=JSON, right=JSON, operator=st.sampled_from(sorted(OPERATORS)))
def test_no_comparison_of_json_values_raises(left, right, operator):
    assert isinstance(compare(left, operator, right), bool)


def test_long_lists_are_compared_in_a_blink():
    numbers, texts = list(range(10_000)), [str(n) for n in range(10_000, 20_000)]
    started = time.thread_time()
    assert not compare(numbers, "is_any_of", texts)
    assert not compare(numbers, "contains", texts)
    assert time.thread_time() - started < 1
