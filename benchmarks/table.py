"""The table on standard output: naive, Lightfield, their ratio, and the bar where there is one."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Line, Round, Values, counting, medians

HEAD = ("", "naive", "Lightfield", "ratio", "bar", "")
OF_BASELINE = (1, 3)  # columns that say nothing where no baseline was measured


def drawn(title: str, lines: Sequence[Line], rounds: list[Round]) -> str:
    """One bench as text: its table, then why rounds do not count and everything that went wrong."""
    naive, ours = medians(rounds, "naive"), medians(rounds, "lightfield")
    rows = [HEAD, *[_row(line, naive, ours) for line in lines if line.figure in ours]]
    if not naive:
        rows = [tuple(cell for place, cell in enumerate(row) if place not in OF_BASELINE) for row in rows]
    told = [f"{title}: {_which(rounds)}", *_aligned(rows)]
    for number, one in enumerate(rounds, 1):
        told += [f"  round {number} is not valid: {why}" for why in one.invalid]
        told += [f"  round {number} WRONG: {problem}" for problem in one.problems]
    return "\n".join(told)


def _which(rounds: list[Round]) -> str:
    valid = sum(one.is_valid for one in rounds)
    if len(rounds) == 1:
        return "one round" if valid else "one round, which is not valid"
    if not valid:
        return f"none of {len(rounds)} rounds is valid; medians of all"
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


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Numbers to the right; the label, the bar and the verdict to the left."""
    last = len(rows[0]) - 2  # the bar's column
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:>{width}}" if 0 < place < last else f"{cell:<{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
