"""Throughput with a long past: on empty tables, and with 1,000,000 finished runs in them, in one installation."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass

from benchmarks import history, load, systems, validity, waiting
from benchmarks.figures import Line, Round, Values, at_least, at_most
from benchmarks.installation import Installation
from benchmarks.load import Sender
from benchmarks.stage import STEPS, Bench, Stage
from benchmarks.throughput import burst
from lightfield.local.boot import say

BURSTS = 3  # before, and again after: the median of each counts


@dataclass(frozen=True)
class Figures:
    empty_runs_per_second: float
    full_runs_per_second: float
    kept_percent: float
    empty_cpu_per_1000: float  # seconds
    full_cpu_per_1000: float
    empty_buffers_per_run: float
    full_buffers_per_run: float
    history: float  # finished runs written
    history_seconds: float
    history_mb: float  # tables with their indexes
    verify_seconds: float
    cores_of_others: float
    lost: float
    doubled: float


LINES = (
    Line("empty_runs_per_second", "runs/s on empty tables", 0),
    Line("full_runs_per_second", "runs/s with the past", 0),
    Line("kept_percent", "kept, %", 1, at_least(90)),
    Line("empty_cpu_per_1000", "CPU s / 1000 runs on empty tables", 2),
    Line("full_cpu_per_1000", "CPU s / 1000 runs with the past", 2),
    Line("empty_buffers_per_run", "buffers read / run on empty tables", 0),
    Line("full_buffers_per_run", "buffers read / run with the past", 0),
    Line("lost", "lost effects", 0, at_most(0)),
    Line("doubled", "doubled effects", 0, at_most(0)),
    Line("history", "finished runs written", 0),
    Line("history_mb", "MB of tables and indexes", 0),
    Line("history_seconds", "s to write them", 0),
    Line("verify_seconds", "s of verify", 0),
    Line("cores_of_others", "cores used by others", 2),
)


def play(stage: Stage) -> Round:
    options, played = stage.options, Round()
    with stage.lightfield() as system:
        hook = system.hook(STEPS)
        stage.warm(system, hook)
        empty = _bursts(stage, system, hook, played)
        say(
            f"{empty['runs_per_second']:.0f} runs/s on empty tables; writing {options.history:,} finished runs"
        )
        began = time.monotonic()
        sizes = _write(system, options.history)
        seconds = time.monotonic() - began
        full = _bursts(stage, system, hook, played)
        say(f"{full['runs_per_second']:.0f} runs/s with them; verifying")
        began = time.monotonic()
        verified = system.manage("verify")
        verify_seconds = time.monotonic() - began
    figures = Figures(
        **{f"empty_{name}": empty[name] for name in ("runs_per_second", "cpu_per_1000", "buffers_per_run")},
        **{f"full_{name}": full[name] for name in ("runs_per_second", "cpu_per_1000", "buffers_per_run")},
        kept_percent=full["runs_per_second"] / empty["runs_per_second"] * 100,
        history=options.history,
        history_seconds=seconds,
        history_mb=sum(sizes.values()),
        verify_seconds=verify_seconds,
        cores_of_others=max(empty["cores_of_others"], full["cores_of_others"]),
        lost=empty["lost"] + full["lost"],
        doubled=empty["doubled"] + full["doubled"],
    )
    if verified.returncode != 0:
        played.problems.append(f"verify: {verified.stdout.strip()[-500:]} {verified.stderr.strip()[-200:]}")
    played.add(system.name, asdict(figures), [], validity.of_machine(figures.cores_of_others))
    played.notes["megabytes"] = sizes
    return played


def _bursts(stage: Stage, system: Installation, hook: str, played: Round) -> Values:
    """Medians of some bursts; `lost` and `doubled` are sums, `cores_of_others` the most."""
    waiting.sleep(stage.options.flush_seconds)
    before, measured = system.counts(), []
    for _ in range(BURSTS):
        figures, problems = burst(system, hook, stage.options.events)
        measured.append(asdict(figures))
        played.problems += problems
    waiting.sleep(stage.options.flush_seconds)
    counted = system.counts().per_run(before, BURSTS * stage.options.events)
    values = {name: statistics.median(one[name] for one in measured) for name in measured[0]}
    for name, whole in (("lost", sum), ("doubled", sum), ("cores_of_others", max)):
        values[name] = whole(one[name] for one in measured)
    return values | counted


def _write(system: Installation, number: int) -> dict[str, float]:
    one = system.publish_requests("History", 1)
    reply = load.run(Sender(one.hook).send(next(systems.bodies(1))))
    waiting.until("the template's run", lambda: system.backlog_of(one) == 0, seconds=60)
    with system.as_superuser() as connection:
        history.write(connection, number, event_id=reply.event_id)
        return history.megabytes(connection)


BENCH = Bench("growth", "throughput with a million finished runs in the tables", 1, LINES, play)
