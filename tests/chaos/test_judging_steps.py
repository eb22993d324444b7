"""The harness can see what it looks for in record steps: planted contradictions are found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.judging_steps import contradictions

DONE = ("run-1", "noted", "completed", False, 1, 1, 1, 1)
TAKEN_OVER = ("run-2", "noted", "completed", True, 0, 0, 0, 0)
FAILED = ("run-3", "noted", "cancelled", False, 0, 0, 0, 0)
CHANGED = ("run-1", "told", "completed", False, 1, 1, 1, 0)
STEPS = [DONE, TAKEN_OVER, FAILED, CHANGED]
NOTE = ("run-1:noted", 1, 1, 1)
COMPANY = ("CHAOS 1", 1)


def test_given_each_write_once_then_nothing_is_wrong() -> None:
    assert contradictions(STEPS, [NOTE], [COMPANY]) == {}


def planted(row: tuple[Any, ...], **changes: Any) -> tuple[Any, ...]:
    names = ("run", "key", "status", "reused", "done", "effects", "deeds", "notes")
    return tuple(changes.get(name, value) for name, value in zip(names, row, strict=True))


@pytest.mark.parametrize(
    ("rule", "step"),
    [
        ("a record step that did not create exactly one record", planted(DONE, notes=2)),
        ("a record step that did not create exactly one record", planted(DONE, notes=0)),
        ("a record step that did not create exactly one record", planted(TAKEN_OVER, notes=1)),
        ("a record step that did not create exactly one record", planted(FAILED, notes=1)),
        ("a record step that did not write exactly once", planted(CHANGED, deeds=2)),
        ("a record step that did not write exactly once", planted(CHANGED, deeds=0)),
        ("a record step that did not write exactly once", planted(FAILED, deeds=1)),
        ("a record step and its effect do not agree", planted(DONE, done=0, effects=0)),
        ("a record step and its effect do not agree", planted(FAILED, done=1, effects=1)),
        ("a record step and its effect do not agree", planted(DONE, effects=2)),
    ],
)
def test_given_a_write_that_is_there_twice_or_not_at_all_then_it_is_blamed(
    rule: str, step: tuple[Any, ...]
) -> None:
    assert list(contradictions([step], [], [])) == [rule]


@pytest.mark.parametrize(
    ("rule", "notes", "companies"),
    [
        ("a record that no step made", [("?", 0, 1, 1)], []),
        ("a record without exactly one event and one run", [("run-1:noted", 1, 0, 0)], []),
        ("a record without exactly one event and one run", [("run-1:noted", 1, 2, 2)], []),
        ("an upsert that created a second record", [], [("CHAOS 1", 2)]),
    ],
)
def test_given_records_that_contradict_their_steps_then_they_are_blamed(
    rule: str, notes: list[Any], companies: list[Any]
) -> None:
    assert list(contradictions([], notes, companies)) == [rule]
