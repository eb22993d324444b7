"""The table on standard output: naive, Lightfield, their ratio, and the bar where there is one."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Line, Round, Values, counting, medians

HEAD = ("", "naive", "Lightfield", "ratio", "bar", "")


def drawn(title: str, lines: Sequence[Line], rounds: list[Round]) -> str:
    """One bench as text: its table, then each round that does not count and everything that went wrong."""
    naive, ours = medians(rounds, "naive"), medians(rounds, "lightfield")
    rows = [HEAD, *[_row(line, naive, ours) for line in lines if line.figure in ours]]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    told = [f"{title}: {_which(rounds)}", *[_aligned(row, widths) for row in rows]]
    for number, one in enumerate(rounds, 1):
        told += [f"  round {number} is not valid: {why}" for why in one.invalid]
        told += [f"  round {number} WRONG: {problem}" for problem in one.problems]
    return "\n".join(told)


def _which(rounds: list[Round]) -> str:
    valid = sum(one.is_valid for one in rounds)
    if not valid:
        return f"none of {len(rounds)} rounds is valid; medians of all"
    if len(rounds) == 1:
        return "one round"
    return f"medians of {len(counting(rounds))} valid rounds of {len(rounds)}"


def _row(line: Line, naive: Values, ours: Values) -> tuple[str, ...]:
    figure, other = ours[line.figure], naive.get(line.figure)
    verdict = "" if line.bar is None else "met" if line.bar.is_met(figure, ours, naive) else "MISSED"
    return (
        f"  {line.label}",
        "" if other is None else f"{other:,.{line.decimals}f}",
        f"{figure:,.{line.decimals}f}",
        f"{figure / other:.2f}" if other else "",
        line.bar.says if line.bar else "",
        verdict,
    )


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    label, *numbers, bar, verdict = row
    cells = [f"{cell:>{width}}" for cell, width in zip(numbers, widths[1:4], strict=True)]
    return f"{label:<{widths[0]}}  {'  '.join(cells)}  {bar:<{widths[4]}}  {verdict}".rstrip()
