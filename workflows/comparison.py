"""What changed between two definitions, line by line. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from workflows.arrangement import as_text

CONTEXT_LINES = 3


@dataclass(frozen=True)
class DiffLine:
    """One line of either text, or a gap between two places. `kind`: same, added, removed or gap."""

    kind: str
    text: str
    old: int | None = None  # line numbers, from 1
    new: int | None = None


def compared(old: dict[str, Any], new: dict[str, Any]) -> list[DiffLine]:
    """The changed lines with three lines around each; empty when nothing differs."""
    before, after = as_text(old).split("\n"), as_text(new).split("\n")
    groups = list(
        difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_grouped_opcodes(CONTEXT_LINES)
    )
    lines: list[DiffLine] = []
    for number, group in enumerate(groups):
        if number:
            lines.append(DiffLine("gap", _gap(groups[number - 1][-1][2], group[0][1])))
        for tag, old_start, old_end, new_start, new_end in group:
            if tag == "equal":
                lines += [
                    DiffLine("same", before[at], at + 1, new_start + at - old_start + 1)
                    for at in range(old_start, old_end)
                ]
                continue
            lines += [DiffLine("removed", before[at], old=at + 1) for at in range(old_start, old_end)]
            lines += [DiffLine("added", after[at], new=at + 1) for at in range(new_start, new_end)]
    return lines


def _gap(end: int, start: int) -> str:
    count = start - end
    return f"{count} unchanged line{'' if count == 1 else 's'}"
