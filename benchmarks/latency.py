"""How long a three-step run takes when little else happens: 10 a second, in an open loop.

End to end is from the webhook's first byte to the run's `finished_at`, both by this machine's clock; the naive chain keeps
nothing, so there it is to the sink's last answer, and that of ours is given beside it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks import load, systems, validity
from benchmarks.figures import Line, Round, at_most, milliseconds
from benchmarks.load import Reply, Sender
from benchmarks.stage import STEPS, Bench, Stage, end_to_end, judged
from benchmarks.systems import System
from lightfield.local.boot import say

RATE = 10.0  # runs a second


@dataclass(frozen=True)
class Figures:
    end_to_end_p50_ms: float
    end_to_end_p99_ms: float
    last_answer_p50_ms: float
    last_answer_p99_ms: float
    accept_p50_ms: float
    accept_p99_ms: float
    late_p99_ms: float  # of the load, behind its schedule
    cpu_per_1000: float  # seconds, what the system does by itself included
    cores_of_others: float
    lost: float
    doubled: float


LINES = (
    Line("end_to_end_p50_ms", "end to end p50 ms", 1, at_most(30)),
    Line("end_to_end_p99_ms", "end to end p99 ms", 1, at_most(80)),
    Line("last_answer_p50_ms", "last answer p50 ms"),
    Line("last_answer_p99_ms", "last answer p99 ms"),
    Line("accept_p50_ms", "accept p50 ms", 1, at_most(6)),
    Line("accept_p99_ms", "accept p99 ms", 1, at_most(20)),
    Line("lost", "lost effects", 0, at_most(0)),
    Line("doubled", "doubled effects", 0, at_most(0)),
    Line("cpu_per_1000", "CPU s / 1000 runs", 1),
    Line("late_p99_ms", "load behind schedule p99 ms"),
    Line("cores_of_others", "cores used by others", 2),
)


def measure(system: System, hook: str, seconds: float) -> tuple[Figures, list[str]]:
    """Send 10 a second for so long, wait for the runs, and say how long they took."""
    system.sink.forget()
    meter = validity.Meter(system.roots, system.sink.pid)
    replies = load.run(Sender(hook).open_loop(systems.bodies(STEPS), rate=RATE, seconds=seconds))
    system.wait_for(replies)
    used = meter.read()
    ends, account, problems = judged(system, replies)
    whole, answers = end_to_end(replies, ends.at), end_to_end(replies, account.answered_at)
    figures = Figures(
        end_to_end_p50_ms=milliseconds(whole, 50),
        end_to_end_p99_ms=milliseconds(whole, 99),
        last_answer_p50_ms=milliseconds(answers, 50),
        last_answer_p99_ms=milliseconds(answers, 99),
        **accepted(replies),
        cpu_per_1000=used.system / len(replies) * 1000,
        cores_of_others=used.cores_of_others,
        lost=len(account.lost),
        doubled=len(account.doubled),
    )
    return figures, problems


def accepted(replies: list[Reply]) -> dict[str, float]:
    """How long the webhooks took to be answered, and how far the load was behind its schedule."""
    seconds = [reply.seconds for reply in replies]
    return {
        "accept_p50_ms": milliseconds(seconds, 50),
        "accept_p99_ms": milliseconds(seconds, 99),
        "late_p99_ms": milliseconds([reply.late for reply in replies], 99),
    }


def play(stage: Stage) -> Round:
    played = Round()
    for starting in (stage.naive, stage.lightfield):
        with starting() as system:
            hook = system.hook(STEPS)
            stage.warm(system, hook)
            figures, problems = measure(system, hook, stage.options.latency_seconds)
        played.add(system.name, asdict(figures), problems, validity.of_machine(figures.cores_of_others))
        told = f"{figures.end_to_end_p50_ms:.0f} / {figures.end_to_end_p99_ms:.0f} ms end to end p50 / p99"
        say(f"{system.name}: {told}")
    return played


BENCH = Bench("latency", "end to end and accept times at 10 runs a second on a quiet system", 3, LINES, play)
