"""Definitions as text, and what changed between two."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lightfield.builder.starters import STARTERS, Starter, find
from tests.factories import a_definition
from workflows import hooks, validation
from workflows.arrangement import arranged, as_text
from workflows.comparison import compared
from workflows.definitions import checksum, dump, parse_definition
from workflows.models import Workflow

HTTP = {"key": "call", "type": "http_request", "config": {"url": "https://a.example", "method": "GET"}}


def stored(**parts: Any) -> dict[str, Any]:
    """As jsonb gives it back: every object's fields in another order."""
    document: dict[str, Any] = json.loads(
        json.dumps(dump(parse_definition(a_definition(**parts))), sort_keys=True)
    )
    return document


def test_fields_come_in_the_order_in_which_people_tell_them() -> None:
    document = arranged(stored(steps=[HTTP]))

    assert list(document) == ["schema", "name", "description", "settings", "trigger", "steps"]
    assert list(document["steps"][0]) == ["key", "name", "type", "config", "retry"]
    assert list(document["steps"][0]["config"]) == ["method", "url"]


@pytest.mark.parametrize("is_brief", [True, False])
def test_the_text_reads_as_the_same_definition(is_brief: bool) -> None:
    retry = {"max_attempts": 2, "base_seconds": 1, "cap_seconds": 9, "retry_on_status": [500]}
    document = stored(steps=[HTTP, {**HTTP, "key": "again", "name": "Again", "retry": retry}])

    again = dump(parse_definition(json.loads(as_text(document, is_brief=is_brief))))

    assert checksum(again) == checksum(document)


def test_a_brief_text_leaves_out_what_a_step_does_not_say() -> None:
    step = arranged(stored(steps=[HTTP]), is_brief=True)["steps"][0]

    assert list(step) == ["key", "type", "config"]


def test_what_another_release_stored_is_shown_as_it_is() -> None:
    strange = {"schema": 7, "steps": "none"}

    assert arranged(strange) == strange


def test_equal_definitions_have_no_difference() -> None:
    assert compared(stored(), stored()) == []


def test_changed_lines_come_with_three_around_them_and_gaps_between() -> None:
    old = stored(steps=[HTTP, {**HTTP, "key": "second"}])
    new = stored(name="Another", steps=[HTTP, {**HTTP, "key": "third"}])

    lines = compared(old, new)

    changed = [(line.kind, line.text.strip()) for line in lines if line.kind in ("added", "removed")]
    assert changed == [
        ("removed", '"name": "A workflow",'),
        ("added", '"name": "Another",'),
        ("removed", '"key": "second",'),
        ("added", '"key": "third",'),
    ]
    assert [line.text for line in lines if line.kind == "gap"] == [
        f"{gap} unchanged lines" for gap in _gaps(lines)
    ]
    assert lines[0].old == lines[0].new == 1


def _gaps(lines: list[Any]) -> list[int]:
    """From the numbers of the lines on both sides of each gap."""
    return [lines[at + 1].new - lines[at - 1].new - 1 for at, line in enumerate(lines) if line.kind == "gap"]


@pytest.mark.parametrize("starter", STARTERS, ids=lambda starter: starter.slug)
def test_every_starter_can_be_published_where_there_is_a_model(starter: Starter, settings: Any) -> None:
    settings.LIGHTFIELD_AI_MODEL, settings.LIGHTFIELD_AI_BASE_URL = "gpt-5", "https://api.openai.com/v1"
    definition = parse_definition(starter.definition)

    assert validation.problems_of(definition) == []
    assert hooks.problems_of_publishing(dump(definition), Workflow()) == []
    assert find(starter.slug) is starter
