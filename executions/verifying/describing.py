"""The invariants as the tables that docs/invariants.md holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from executions.verifying.invariant import Invariant


def as_markdown(groups: Mapping[str, Iterable[Invariant]]) -> str:
    """One table for each group, in the order in which the invariants are checked."""
    lines: list[str] = []
    for title, members in groups.items():
        lines += [f"### {title}", "", "| name | what must be true | number |", "|---|---|---|"]
        lines += [_row(member) for member in members]
        lines.append("")
    return "\n".join(lines)


def _row(invariant: Invariant) -> str:
    quiesced = " *Only with `--quiesced`.*" if invariant.only_quiesced else ""
    return f"| `{invariant.name}` | {invariant.says}{quiesced} | {invariant.number} |"
