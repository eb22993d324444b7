"""Webhooks alone: how fast and how cheaply an event is captured, when its run is as small as a run can be.

First as fast as 8 connections are answered, then 200 a second in an open loop. CPU is the whole system's, and the small
run of one `log` step is in it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from benchmarks import load, systems, validity, waiting
from benchmarks.figures import Line, Round, milliseconds
from benchmarks.installation import Installation
from benchmarks.load import Reply, Sender
from benchmarks.stage import Bench, Stage, judged
from benchmarks.throughput import SETTLE_SECONDS
from lightfield.local.boot import say

RATE = 200.0  # webhooks a second of the open loop
STEP = {"key": "told", "type": "log", "config": {"message": "captured"}}


@dataclass(frozen=True)
class Figures:
    burst_per_second: float  # webhooks answered
    burst_p50_ms: float
    burst_p99_ms: float
    burst_cpu_per_1000: float  # seconds
    burst_drained_seconds: float  # from the last webhook answered until all runs had ended
    steady_p50_ms: float
    steady_p99_ms: float
    steady_late_p99_ms: float  # of the load, behind its schedule
    steady_cpu_per_1000: float
    cores_of_others: float


LINES = (
    Line("burst_per_second", "webhooks/s, 8 connections", 0),
    Line("burst_p50_ms", "accept p50 ms"),
    Line("burst_p99_ms", "accept p99 ms"),
    Line("burst_cpu_per_1000", "CPU s / 1000 captured and run", 2),
    Line("burst_drained_seconds", "s until all had run", 2),
    Line("steady_p50_ms", "accept p50 ms at 200/s"),
    Line("steady_p99_ms", "accept p99 ms at 200/s"),
    Line("steady_cpu_per_1000", "CPU s / 1000 at 200/s", 2),
    Line("steady_late_p99_ms", "load behind schedule p99 ms"),
    Line("cores_of_others", "cores used by others", 2),
)


@dataclass(frozen=True)
class Captured:
    replies: list[Reply]
    used: validity.Usage
    drained_seconds: float
    problems: list[str]

    def accept_ms(self, percent: float) -> float:
        return milliseconds([reply.seconds for reply in self.replies], percent)

    @property
    def cpu_per_1000(self) -> float:
        return self.used.system / len(self.replies) * 1000

    @property
    def per_second(self) -> float:
        ended = max(reply.sent_at + reply.seconds for reply in self.replies)
        return len(self.replies) / (ended - min(reply.sent_at for reply in self.replies))


def play(stage: Stage) -> Round:
    options, played = stage.options, Round()
    with stage.lightfield() as system:
        hook = system.publish("Captured", [STEP]).hook
        stage.warm(system, hook, steps=0)
        burst = _captured(system, Sender(hook).closed_loop(islice(systems.bodies(), options.events)))
        say(f"{burst.per_second:.0f} webhooks/s in the burst; now {RATE:.0f} a second")
        steady = _captured(
            system, Sender(hook).open_loop(systems.bodies(), rate=RATE, seconds=options.webhooks_seconds)
        )
    others = max(burst.used.cores_of_others, steady.used.cores_of_others)
    figures = Figures(
        burst_per_second=burst.per_second,
        burst_p50_ms=burst.accept_ms(50),
        burst_p99_ms=burst.accept_ms(99),
        burst_cpu_per_1000=burst.cpu_per_1000,
        burst_drained_seconds=burst.drained_seconds,
        steady_p50_ms=steady.accept_ms(50),
        steady_p99_ms=steady.accept_ms(99),
        steady_late_p99_ms=milliseconds([reply.late for reply in steady.replies], 99),
        steady_cpu_per_1000=steady.cpu_per_1000,
        cores_of_others=others,
    )
    played.add(system.name, asdict(figures), burst.problems + steady.problems, validity.of_machine(others))
    return played


def _captured(system: Installation, sending: Coroutine[Any, Any, list[Reply]]) -> Captured:
    meter = validity.Meter(system.roots, system.sink.pid)
    replies = load.run(sending)
    system.wait_for(replies)
    waiting.sleep(SETTLE_SECONDS)
    used = meter.read()
    ends, _, problems = judged(system, replies)
    answered = max(reply.sent_at + reply.seconds for reply in replies)
    return Captured(replies, used, max(ends.at.values(), default=float("nan")) - answered, problems)


BENCH = Bench(
    "webhooks", "webhooks alone: accept times and CPU, in a burst and at 200 a second", 1, LINES, play
)
