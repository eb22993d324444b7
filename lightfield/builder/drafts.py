"""What the editor knows of a draft: its text, what keeps it from being published, and how it differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lightfield.builder.texts import PlacedProblem, Unreadable, normalised, placed, read
from lightfield.kernel.errors import Problem, RequestRefused
from workflows import hooks, validation
from workflows.arrangement import as_text
from workflows.definitions import checksum, dump, parse_definition
from workflows.foresight import warnings_of
from workflows.models import Workflow

TRIGGER_TITLES: Final = {
    "webhook": "A webhook arrives",
    "record": "A record is made or changes",
    "manual": "Somebody starts it",
    "schedule": "The clock says so",
}


@dataclass(frozen=True)
class Sheet:
    """What stands in the editor.

    `problems` are about the text: it cannot be saved. `obstacles` keep it from being published. `warnings` keep it from
    nothing. `base` is the checksum of the draft that the text was made from: it tells when somebody else saved meanwhile.
    """

    text: str
    problems: list[PlacedProblem]
    obstacles: list[PlacedProblem]
    base: str = ""
    is_overtaken: bool = False  # the draft was changed by somebody else since
    warnings: Sequence[PlacedProblem] = ()

    @property
    def listed(self) -> list[PlacedProblem]:
        return self.problems or self.obstacles


def sheet_of(workflow: Workflow) -> Sheet:
    """The stored draft."""
    text = as_text(workflow.draft, is_brief=True)
    return Sheet(
        text,
        [],
        placed(text, obstacles_of(workflow)),
        base=checksum(workflow.draft),
        warnings=placed(text, foreseen(workflow.draft)),
    )


def sheet_from(document: dict[str, Any]) -> Sheet:
    """A document that is not stored yet."""
    return Sheet(as_text(document, is_brief=True), [], [])


def refused(text: str, problems: list[PlacedProblem], *, base: str = "", is_overtaken: bool = False) -> Sheet:
    """What a person typed and may not be saved: shown as it was typed."""
    return Sheet(text, problems, [], base=base, is_overtaken=is_overtaken)


def document_of(raw: str) -> dict[str, Any]:
    """The whole normalised definition in a typed text, so that a part left out falls back to its default.

    Raises:
        Refused: with every problem at its line.
    """
    text = normalised(raw)
    try:
        value = read(text)
    except Unreadable as error:
        raise Refused(text, [error.problem]) from None
    try:
        document = dump(parse_definition(value))
    except RequestRefused as error:
        raise Refused(text, placed(text, error.problems)) from None
    problems = hooks.problems_of_storing(document)
    if problems:
        raise Refused(text, placed(text, problems))
    return document


class Refused(Exception):
    """A typed text that cannot become a draft."""

    def __init__(self, text: str, problems: list[PlacedProblem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.text = text
        self.problems = problems


def obstacles_of(workflow: Workflow) -> list[Problem]:
    """What `services.publish` would refuse the draft for."""
    try:
        definition = parse_definition(workflow.draft)
    except RequestRefused as error:
        return error.problems
    return [
        *validation.problems_of(definition),
        *hooks.problems_of_publishing(workflow.draft, workflow),
    ]


def foreseen(definition: dict[str, Any]) -> list[Problem]:
    """What will probably go wrong when this runs; nothing for what is no definition yet."""
    try:
        return warnings_of(parse_definition(definition))
    except RequestRefused:
        return []


def outline_of(draft: dict[str, Any]) -> list[dict[str, Any]]:
    """The trigger and the steps of a draft, for a picture of it."""
    trigger = draft.get("trigger") or {}
    steps = [
        {"title": step["name"] or step["key"], "key": step["key"], "type": step["type"]}
        for step in draft["steps"]
    ]
    return [
        {"title": TRIGGER_TITLES.get(trigger.get("type", ""), "No trigger yet"), "type": trigger.get("type")},
        *steps,
    ]


def differs(workflow: Workflow) -> bool:
    """Would publishing make a new version?"""
    active = workflow.active_version
    return active is not None and checksum(workflow.draft) != active.checksum
