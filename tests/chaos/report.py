"""What a person reads at the end."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Sequence

from lightfield.local.boot import ROOT
from tests.chaos.judging import Judgement
from tests.chaos.points import Case

SHOWN = 10  # ids for each broken rule

# When the heir took over what a dead worker held, after the death: (pid, instant) of each death.
RECLAIMS = """
SELECT extract(epoch FROM a.finished_at)::float8 - death.at FROM executions_attempt a
JOIN unnest(%s::int[], %s::float8[]) AS death(pid, at) ON split_part(a.worker, ':', 2) = death.pid::text
WHERE a.outcome = 'lost' AND a.finished_at > to_timestamp(death.at)
"""


def commit() -> str:
    """The commit that is checked out, and whether files differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else "unknown"

    return git("rev-parse", "--short", "HEAD") + (" (with changes)" if git("status", "--porcelain") else "")


def table(cases: Sequence[Case]) -> list[str]:
    lines = [f"{'point':<8}{'action':<8}{'hits':>5}{'p50':>9}{'max':>9}   verdict"]
    for case in cases:
        took = [hit.recovery_seconds for hit in case.hits if hit.recovery_seconds is not None]
        p50, most = (f"{statistics.median(took):.1f} s", f"{max(took):.1f} s") if took else ("", "")
        lines.append(
            f"{case.point:<8}{case.action:<8}{len(case.hits):>5}{p50:>9}{most:>9}   {case.problem or 'ok'}"
        )
    return lines


def spread(name: str, seconds: Sequence[float]) -> str:
    if not seconds:
        return f"{name}: none"
    most = sorted(seconds)
    p95 = most[min(len(most) - 1, int(len(most) * 0.95))]
    return (
        f"{name}: {len(most)} · p50 {statistics.median(most):.3f} s · p95 {p95:.3f} s · max {most[-1]:.3f} s"
    )


def verdicts(judgement: Judgement) -> list[str]:
    """One line for each broken rule, with the first few of what broke it."""
    lines = []
    for rule, found in judgement.broken.items():
        lines.append(f"BROKEN  {rule}: {len(found)}")
        lines += [f"          {what}" for what in found[:SHOWN]]
    return lines or ["ok  books and rows agree"]
