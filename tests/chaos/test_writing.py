"""The harness can see what it looks for in records and workflows: planted contradictions are found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos import editing
from tests.chaos.editing import Edit
from tests.chaos.judging_records import Verdict
from tests.chaos.records import CREATED, Notes, Write

DEAL = ("opportunity", "id-1", "deal", {"stage": "won", "amount": None, "pipeline": None})
MADE = Write("opportunity", "deal", CREATED, tries=1, is_acknowledged=True)
WON = Write("opportunity", "deal", "stage", tries=2, is_acknowledged=True)
DROPPED = Write("opportunity", "deal", "amount", tries=1, is_given_up=True)


def event(
    workflow: str, *changed: str, record_id: str = "id-1", status: str = "dispatched", runs: int = 1
) -> Any:
    return ("event", f"Chaos: {workflow}", "opportunity", record_id, list(changed), status, runs)


EVENTS = [
    event("new deal"),
    event("new deal, too"),
    event("deal moved", "stage", "updated_at"),
    event("deal staged", "stage"),
]


def rules(writes: list[Write], stored: list[Any], events: list[Any]) -> set[str]:
    return set(Verdict(Notes(writes=writes), stored, events).broken)


def test_given_each_write_with_one_event_for_each_who_watches_then_nothing_is_wrong() -> None:
    assert rules([MADE, WON, DROPPED], [DEAL], EVENTS) == set()


def test_given_a_write_without_an_answer_then_both_its_change_and_its_events_are_there_or_neither() -> None:
    with_amount = (*DEAL[:3], {**DEAL[3], "amount": 42})
    moved = [*EVENTS, event("deal moved", "amount")]

    assert rules([MADE, WON, DROPPED], [with_amount], moved) == set()
    assert rules([MADE, WON, DROPPED], [with_amount], EVENTS) == {"a write and its events do not agree"}
    assert rules([MADE, WON, DROPPED], [DEAL], moved) == {"a write and its events do not agree"}


@pytest.mark.parametrize(
    ("rule", "stored", "events"),
    [
        ("a write and its events do not agree", [DEAL], EVENTS[:-1]),
        ("a write and its events do not agree", [DEAL], [*EVENTS, EVENTS[-1]]),
        ("a write that was acknowledged and is not there", [], []),
        ("a record that was created twice", [DEAL, DEAL], EVENTS),
        (
            "an event of a record that nobody wrote like that",
            [DEAL],
            [*EVENTS, event("new deal", record_id="?")],
        ),
        ("an event of a record that nobody wrote like that", [DEAL], [*EVENTS, event("deal moved", "name")]),
        ("an event of a write that nobody made", [DEAL], [*EVENTS, event("deal staged", "pipeline")]),
        (
            "an event of a record without exactly one first run",
            [DEAL],
            [*EVENTS[:-1], event("deal staged", "stage", runs=0)],
        ),
        (
            "an event of a record without exactly one first run",
            [DEAL],
            [*EVENTS[:-1], event("deal staged", "stage", status="pending", runs=0)],
        ),
    ],
)
def test_given_what_contradicts_the_client_then_it_is_blamed(
    rule: str, stored: list[Any], events: list[Any]
) -> None:
    assert rule in rules([MADE, WON, DROPPED], stored, events)


def test_given_a_write_that_was_neither_answered_nor_given_up_then_it_is_blamed() -> None:
    assert "a write that was never acknowledged" in rules(
        [MADE, Write("opportunity", "deal", "stage")], [DEAL], EVENTS
    )


def an_editor(*edits: Edit, archived: frozenset[str] = frozenset()) -> Any:
    return SimpleNamespace(edits=list(edits), archived=archived)


def test_given_each_publication_as_one_version_then_nothing_is_wrong() -> None:
    editor = an_editor(Edit("w", "one", tries=2), Edit("w", "two", tries=2), archived=frozenset({"7"}))

    assert (
        editing.judge(editor, [("w", 1, "one"), ("w", 2, "two")], {"7": "archived", "8": "active"}, []) == {}
    )


def test_given_a_call_that_was_repeated_then_an_old_draft_may_be_published_again() -> None:
    versions = [("w", 1, "one"), ("w", 2, "two"), ("w", 3, "one")]

    assert (
        editing.judge(an_editor(Edit("w", "one", tries=3), Edit("w", "two", tries=2)), versions, {}, []) == {}
    )
    assert set(
        editing.judge(an_editor(Edit("w", "one", tries=2), Edit("w", "two", tries=2)), versions, {}, [])
    ) == {"a publication that made two versions"}


@pytest.mark.parametrize(
    ("rule", "edit", "versions", "statuses", "too_late"),
    [
        ("a publication that was never acknowledged", Edit("w", "one"), [("w", 1, "one")], {}, []),
        ("a publication that was acknowledged and is no version", Edit("w", "one", tries=2), [], {}, []),
        (
            "a version that nobody published",
            Edit("w", "one", tries=2),
            [("w", 1, "one"), ("w", 2, "?")],
            {},
            [],
        ),
        (
            "a workflow that was archived and is not",
            Edit("w", "one", tries=2),
            [("w", 1, "one")],
            {"7": "active"},
            [],
        ),
        (
            "an event captured for a workflow that had been archived",
            Edit("w", "one", tries=2),
            [("w", 1, "one")],
            {"7": "archived"},
            [("event",)],
        ),
    ],
)
def test_given_what_contradicts_the_editor_then_it_is_blamed(
    rule: str, edit: Edit, versions: Any, statuses: dict[str, str], too_late: Any
) -> None:
    assert rule in editing.judge(an_editor(edit, archived=frozenset({"7"})), versions, statuses, too_late)
