"""docs/limits.md says what the limits are in the code, and leaves no setting out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from lightfield.kernel.catalogue import CATALOGUE
from lightfield.limits import drawing
from lightfield.limits.words import BEYOND, CONSTANTS, VARIABLES
from workflows.definitions import OnFailure, RetrySpec, Settings


def test_docs_limits_is_drawn_from_the_code() -> None:
    call_command("draw_limits", "--check")


def test_an_outdated_page_is_refused_and_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "limits.md"
    monkeypatch.setattr(drawing, "page_path", lambda: page)
    with pytest.raises(CommandError, match="run bin/manage draw_limits"):
        call_command("draw_limits", "--check")

    call_command("draw_limits")
    call_command("draw_limits", "--check")


def test_every_number_among_the_settings_has_words_and_nothing_else_has() -> None:
    assert {variable.name for variable in drawing.variables()} == set(VARIABLES)


@pytest.mark.parametrize(
    ("prefix", "model"),
    [("settings.", Settings), ("settings.on_failure.", OnFailure), ("steps[].retry.", RetrySpec)],
)
def test_every_number_of_a_definition_is_on_the_page(prefix: str, model: type) -> None:
    page = drawing.page()
    for name, field in model.model_fields.items():  # type: ignore[attr-defined]
        if any(
            kind in (int, float) for kind in (field.annotation, *getattr(field.annotation, "__args__", ()))
        ):
            assert f"| `{prefix}{name}` |" in page


def test_every_code_that_the_page_names_is_of_the_catalogue() -> None:
    words = [beyond for _, beyond in VARIABLES.values()] + list(BEYOND.values())
    words += [beyond for rows in CONSTANTS.values() for _, _, beyond in rows]
    codes = {code for text in words for code in re.findall(r"`([a-z]+\.[a-z_]+)`", text)}

    assert codes - {"step.lost"} <= set(CATALOGUE)  # an entry of the timeline


@pytest.mark.parametrize(
    ("value", "is_bytes", "words"),
    [
        (1 << 20, True, "1,048,576 (1 MiB)"),
        (16 * 1024, True, "16,384 (16 KiB)"),
        (16 * 1024, False, "16,384"),
        (10_000, True, "10,000"),
        (0.5, False, "0.5"),
        (30.0, False, "30"),
    ],
)
def test_figures_are_as_people_write_them(value: float, is_bytes: bool, words: str) -> None:
    assert drawing.figure(value, is_bytes=is_bytes) == words
