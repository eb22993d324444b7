"""Memory of the whole installation after it has worked: PSS, PostgreSQL and Valkey included.

PSS counts a page that several processes share once in all: shared buffers, libraries, what a fork left alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import cpu, validity
from benchmarks.figures import Line, Round, Values, at_most
from benchmarks.installation import PROCESSES, Installation
from benchmarks.stage import STEPS, Bench, Stage
from benchmarks.throughput import burst


@dataclass(frozen=True)
class Figures:
    """Beside these, `<process>_mb` of each process with everything below it."""

    total_mb: float
    supervisor_mb: float
    unreadable: float  # processes whose memory could not be read; 0, or the sum is too small
    runs_before: float


LINES = (
    Line("total_mb", "PSS MB of everything", 0, at_most(600)),
    *[Line(f"{name}_mb", f"  {name}", 1) for name in PROCESSES],
    Line("supervisor_mb", "  supervisor, fork server, health checks", 1),
    Line("unreadable", "processes not readable", 0, at_most(0)),
    Line("runs_before", "runs before", 0),
)


def pss_mb(pid: int) -> float | None:
    """Proportional set size in MB (10^6 bytes); None when it cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:")), None)


def measure(system: Installation, runs: int) -> Values:
    by_pid = {pid: pss_mb(pid) for pid in cpu.pids_of(system.roots)}
    by_name = {
        name: sum(by_pid.get(pid) or 0.0 for pid in cpu.pids_of([root]))
        for name, root in system.pids().items()
    }
    total = sum(size or 0.0 for size in by_pid.values())
    figures = Figures(
        total_mb=total,
        supervisor_mb=total - sum(by_name.values()),
        unreadable=sum(size is None for size in by_pid.values()),
        runs_before=runs,
    )
    return {**asdict(figures), **{f"{name}_mb": size for name, size in by_name.items()}}


def play(stage: Stage) -> Round:
    played = Round()
    with stage.lightfield() as system:
        hook = system.hook(STEPS)
        stage.warm(system, hook)
        worked, problems = burst(system, hook, stage.options.events)
        figures = measure(system, stage.options.events)
    played.add(system.name, figures, problems, validity.of_machine(worked.cores_of_others))
    return played


BENCH = Bench("memory", "PSS of every process after a burst", 1, LINES, play)
