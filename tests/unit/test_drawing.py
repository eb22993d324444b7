"""Pages that are drawn from the code are as the code is now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from executions import drawing, timeline
from executions.states import (
    RUN_BEGINS,
    RUN_TRANSITIONS,
    STEP_BEGINS,
    STEP_TRANSITIONS,
    RunStatus,
    StepStatus,
)
from executions.verifying.describing import as_markdown
from executions.verifying.invariant import TELLS
from executions.verifying.running import GROUPS, INVARIANTS

DOCS = drawing.page_path().parent


def test_docs_states_is_drawn_from_the_code() -> None:
    call_command("draw_states", "--check")


def test_an_outdated_page_is_refused_and_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "states.md"
    monkeypatch.setattr(drawing, "page_path", lambda: page)
    with pytest.raises(CommandError, match="run bin/manage draw_states"):
        call_command("draw_states", "--check")

    call_command("draw_states")
    call_command("draw_states", "--check")

    page.write_text(page.read_text(encoding="utf-8") + "by hand", encoding="utf-8")
    with pytest.raises(CommandError):
        call_command("draw_states", "--check")


def test_every_status_says_who_moves_it_on() -> None:
    for statuses in (RunStatus, StepStatus):
        told: dict[str, str] = drawing.comments_of(statuses)
        assert all(told[member.name] != member.label for member in statuses)


def test_docs_invariants_lists_every_invariant() -> None:
    assert as_markdown(GROUPS) in (DOCS / "invariants.md").read_text(encoding="utf-8")


def test_invariants_have_names_of_their_own() -> None:
    names = [invariant.name for invariant in INVARIANTS]
    assert len(set(names)) == len(names)


def test_the_legal_entries_are_those_of_the_timeline() -> None:
    assert set(TELLS) == {*timeline.RUN_TYPES, *timeline.STEP_TYPES}


@pytest.mark.parametrize(
    ("prefix", "transitions", "begins"),
    [("run.", RUN_TRANSITIONS, RUN_BEGINS), ("step.", STEP_TRANSITIONS, STEP_BEGINS)],
)
def test_no_entry_tells_what_the_states_forbid(prefix: str, transitions: Any, begins: Any) -> None:
    allowed = {(before.value, after.value) for before in transitions for after in transitions[before]}
    allowed |= {(None, first.value) for first in begins} | {(None, None)}
    told = {pair for name, pairs in TELLS.items() if name.startswith(prefix) for pair in pairs}
    assert told <= allowed
