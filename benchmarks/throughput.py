"""Three-step HTTP runs per second, and what a thousand of them cost, against the naive chain in the same round.

The events come through 8 closed-loop connections. Speed counts from the first webhook to the end of the last run; CPU
is that of all the system's processes, PostgreSQL and Valkey included, sink and load left out.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import islice

from benchmarks import counters, load, systems, validity, waiting
from benchmarks.figures import (
    Line,
    Round,
    Values,
    at_least_naive,
    at_most,
    at_most_naive,
    milliseconds,
)
from benchmarks.installation import PROCESSES, Installation
from benchmarks.load import Sender
from benchmarks.stage import STEPS, Bench, Stage, judged
from benchmarks.systems import System
from lightfield.local.boot import say

SETTLE_SECONDS = (
    0.5  # the last outcomes are written, and the last messages acknowledged, after the last answer
)


@dataclass(frozen=True)
class Figures:
    runs_per_second: float
    cpu_per_1000: float  # seconds
    accept_p50_ms: float
    accept_p99_ms: float
    sink_cpu_per_1000: float
    load_cpu_per_1000: float
    cores_of_others: float
    lost: float
    doubled: float


LINES = (
    Line("runs_per_second", "runs/s", 0, at_least_naive(1.5, "runs_per_second")),
    Line("cpu_per_1000", "CPU s / 1000 runs", 2, at_most_naive(0.67, "cpu_per_1000")),
    *[Line(f"{name}_per_1000", f"  {name}", 2) for name in PROCESSES],
    Line("supervisor_per_1000", "  supervisor, fork server, health checks", 2),
    Line("accept_p50_ms", "accept p50 ms"),
    Line("accept_p99_ms", "accept p99 ms", 1, at_most(80)),
    Line("lost", "lost effects", 0, at_most(0)),
    Line("doubled", "doubled effects", 0, at_most(0)),
    Line("transactions_per_run", "PostgreSQL transactions / run", 2),
    Line("statements_per_run", "PostgreSQL statements / run", 2),
    Line("foreign_key_checks_per_run", "foreign key checks / run", 2),
    Line("rows_written_per_run", "rows written / run", 1),
    Line("buffers_per_run", "buffers read / run", 0),
    Line("wal_bytes_per_run", "WAL bytes / run", 0),
    Line("wal_records_per_run", "WAL records / run", 1),
    Line("messages_per_run", "Celery messages / run", 2),
    Line("redis_commands_per_run", "Valkey commands / run", 1),
    Line("cores_of_others", "cores used by others", 2),
    Line("sink_cpu_per_1000", "CPU s / 1000 runs of the sink", 2),
    Line("load_cpu_per_1000", "CPU s / 1000 runs of the load", 2),
)


def burst(system: System, hook: str, events: int, *, steps: int = STEPS) -> tuple[Figures, list[str]]:
    """Send so many webhooks as fast as 8 connections are answered, and wait for their runs."""
    system.sink.forget()
    meter = validity.Meter(system.roots, system.sink.pid)
    replies = load.run(Sender(hook).closed_loop(islice(systems.bodies(steps), events)))
    system.wait_for(replies)
    waiting.sleep(SETTLE_SECONDS)
    used = meter.read()
    ends, account, problems = judged(system, replies)
    first, last = min(reply.sent_at for reply in replies), max(ends.at.values(), default=math.nan)
    accepted = [reply.seconds for reply in replies]
    figures = Figures(
        runs_per_second=events / (last - first),
        cpu_per_1000=used.system / events * 1000,
        accept_p50_ms=milliseconds(accepted, 50),
        accept_p99_ms=milliseconds(accepted, 99),
        sink_cpu_per_1000=used.sink / events * 1000,
        load_cpu_per_1000=used.load / events * 1000,
        cores_of_others=used.cores_of_others,
        lost=len(account.lost),
        doubled=len(account.doubled),
    )
    return figures, problems


def play(stage: Stage) -> Round:
    played = Round()
    with stage.naive() as baseline:
        _measure(stage, baseline, played)
    played.invalid += validity.of_baseline(played.figures["naive"]["cpu_per_1000"])
    with stage.lightfield() as lightfield:
        _measure(stage, lightfield, played)
        if stage.options.statements:
            played.notes["statements"] = counters.costliest(lightfield.connection)
    return played


def _measure(stage: Stage, system: System, played: Round) -> None:
    options = stage.options
    hook = system.hook(STEPS)
    stage.warm(system, hook)
    if isinstance(system, Installation):
        waiting.sleep(options.flush_seconds)
        counters.forget_statements(system.connection)
    before = system.counts()
    spent = system.spent() if isinstance(system, Installation) else {}
    figures, problems = burst(system, hook, options.events)
    by_process: Values = {}
    if isinstance(system, Installation):
        by_process = _by_process(figures, spent, system.spent(), options.events)
        waiting.sleep(options.flush_seconds)
    values: Values = {**asdict(figures), **by_process, **system.counts().per_run(before, options.events)}
    played.add(system.name, values, problems, validity.of_machine(figures.cores_of_others))
    say(
        f"{system.name}: {figures.runs_per_second:.0f} runs/s, {figures.cpu_per_1000:.1f} CPU s per 1,000 runs"
    )


def _by_process(figures: Figures, before: dict[str, float], after: dict[str, float], events: int) -> Values:
    """What each process has in `cpu_per_1000`; supervisor, fork server and health checks have the rest."""
    found = {name: (after[name] - before[name]) / events * 1000 for name in after}
    found["supervisor"] = max(0.0, figures.cpu_per_1000 - sum(found.values()))  # read a moment later
    return {f"{name}_per_1000": value for name, value in found.items()}


BENCH = Bench(
    "throughput", "three-step runs per second and CPU per 1,000, beside the naive chain", 3, LINES, play
)
