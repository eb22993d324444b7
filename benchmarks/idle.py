"""What the installation costs while nobody asks anything of it: CPU of each process, in percent of one core.

The supervisor, with the health checks that it starts, is told apart: another one may stand in its place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks import validity, waiting
from benchmarks.figures import Line, Round, Values, at_most
from benchmarks.installation import PROCESSES, Installation
from benchmarks.stage import STEPS, Bench, Stage
from lightfield.local.boot import say


@dataclass(frozen=True)
class Figures:
    """Beside these, `<process>_percent` of each process."""

    processes_percent: float  # of one core: all but the supervisor
    supervisor_percent: float
    transactions_per_second: float  # PostgreSQL's, about: see counters.py
    messages_per_second: float
    cores_of_others: float


LINES = (
    Line("processes_percent", "eight processes, % of a core", 2, at_most(5)),
    *[Line(f"{name}_percent", f"  {name}", 2) for name in PROCESSES],
    Line("supervisor_percent", "supervisor, fork server, health checks", 2),
    Line("transactions_per_second", "PostgreSQL transactions / s", 1),
    Line("messages_per_second", "Celery messages / s", 2),
    Line("cores_of_others", "cores used by others", 2),
)


def measure(system: Installation, seconds: float) -> Values:
    counts, meter, before = system.counts(), validity.Meter(system.roots, system.sink.pid), system.spent()
    waiting.sleep(seconds)
    after, used = system.spent(), meter.read()
    counted = system.counts().minus(counts)
    percent = {name: (after[name] - before[name]) / used.seconds * 100 for name in after}
    figures = Figures(
        processes_percent=sum(percent.values()),
        supervisor_percent=used.system / used.seconds * 100 - sum(percent.values()),
        transactions_per_second=counted["transactions"] / used.seconds,
        messages_per_second=counted["messages"] / used.seconds,
        cores_of_others=used.cores_of_others,
    )
    return {**asdict(figures), **{f"{name}_percent": value for name, value in percent.items()}}


def play(stage: Stage) -> Round:
    played = Round()
    with stage.lightfield() as system:
        stage.warm(system, system.hook(STEPS))
        say("waiting for calm")
        waiting.sleep(stage.options.calm_seconds)
        figures = measure(system, stage.options.idle_seconds)
    played.add(system.name, figures, [], validity.of_machine(figures["cores_of_others"]))
    return played


BENCH = Bench("idle", "CPU of every process while nothing is asked of it", 1, LINES, play)
