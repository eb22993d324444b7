"""What a person reads at the end."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Sequence

from lightfield.local.boot import ROOT
from tests.chaos import cases as cases_
from tests.chaos.cases import Case
from tests.chaos.fences import seconds_to_reclaim
from tests.chaos.judging import Judgement
from tests.chaos.ordeal import Ordeal, Spread

SHOWN = 10  # ids for each broken rule


def commit() -> str:
    """The commit that is checked out, and whether files differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else "unknown"

    return git("rev-parse", "--short", "HEAD") + (" (with changes)" if git("status", "--porcelain") else "")


def table(cases: Sequence[Case], judgement: Judgement) -> list[str]:
    """A line for each point and action: when all that was on its way had moved, the slowest also in seconds of ours,
    and when the steps that a dead process had held were in other hands."""
    lines = [
        f"{'point':<8}{'action':<8}{'hits':>5}{'moved p50':>11}{'max':>8}{'own':>8}{'re-claimed':>12}{'p50':>8}{'p95':>8}{'max':>8}"
        "   verdict"
    ]
    for case in cases:
        moved = Spread.of([hit.recovery_seconds for hit in case.hits if hit.recovery_seconds is not None])
        own = max((hit.own_seconds for hit in case.hits if hit.own_seconds is not None), default=0.0)
        deaths = [(hit.pid, hit.at) for hit in case.hits if hit.action == "kill"]
        again = Spread.of(seconds_to_reclaim(judgement.log, deaths))
        lines.append(
            f"{case.point:<8}{case.action:<8}{len(case.hits):>5}{moved.p50:>9.1f} s{moved.most:>6.1f} s{own:>6.1f} s"
            + (
                f"{again.number:>12}{again.p50:>6.1f} s{again.p95:>6.1f} s{again.most:>6.1f} s"
                if again.number
                else " " * 36
            )
            + f"   {case.problem(judgement.told) or 'ok'}{_late(case)}"
        )
    return (
        [*lines, "", *cases_.zombies(cases, judgement.told)]
        if any(c.action == "stop" for c in cases)
        else lines
    )


def _late(case: Case) -> str:
    if not case.late:
        return ""
    worst = max(case.late, key=lambda hit: hit.recovery_seconds or 0)
    return f"; {len(case.late)} late by the real clock, at most {worst.recovery_seconds:.0f} s, {worst.own_seconds or 0:.0f} s of ours"


def ordeals(done: Sequence[Ordeal]) -> list[str]:
    """A line for each fault: what was done, what senders saw meanwhile, when the backlog was gone.

    Own seconds are those of a clock that goes slower where others use the machine.
    """
    lines = [
        f"{'fault':<23}{'deeds':>10}{'lasted':>8}{'own':>7}{'webhooks':>9}{'1st try':>9}{'p50':>8}{'p95':>8}{'max':>8}"
        f"{'drained':>9}{'own':>8}   verdict"
    ]
    for one in done:
        took = one.latency
        deeds = f"{one.deeds}/{one.wanted}"
        late = (
            f"; late by the real clock (×{one.drained_seconds / one.drained_own:.1f})"
            if one.is_late and one.drained_own and one.drained_seconds
            else ""
        )
        lines.append(
            f"{one.name:<23}{deeds:>10}{one.seconds:>6.0f} s{one.own_seconds:>5.0f} s{len(one.firsts):>9}"
            f"{_share(one.accepted):>9}{took.p50 * 1000:>5.0f} ms{took.p95 * 1000:>5.0f} ms{took.most * 1000:>5.0f} ms"
            f"{_seconds(one.drained_seconds):>9}{_seconds(one.drained_own):>8}   {one.problem or 'ok'}{late}"
        )
        lines += [f"{'':<23}{note}" for note in one.notes]
    return lines


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def _share(share: float) -> str:
    """Down to a hundredth of a per cent: 100 % is said of all only."""
    return f"{math.floor(share * 10_000) / 100:g} %"


def verdicts(judgement: Judgement) -> list[str]:
    """One line for each broken rule, with the first few of what broke it."""
    lines = []
    for rule, found in judgement.broken.items():
        lines.append(f"BROKEN  {rule}: {len(found)}")
        lines += [f"          {what}" for what in found[:SHOWN]]
    return lines or ["ok  books and rows agree"]
