"""A load that goes on: so many runs a second for minutes, and whether the system keeps up with them.

The backlog, pending events and runs that have not ended, is sampled once a second. It stays where it is while the system
keeps up, and grows with the time when it does not.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field

from benchmarks import load, systems, validity
from benchmarks.far_end import Account
from benchmarks.figures import Line, Round, at_most, milliseconds, percentile
from benchmarks.installation import Installation
from benchmarks.load import Reply, Sender
from benchmarks.stage import Bench, Stage, end_to_end, judged
from lightfield.local.boot import say

RATE, STEPS, MINUTES = 35.0, 1, 10.0
SAMPLE_SECONDS = 1.0
TELL_EVERY = 60  # samples


@dataclass(frozen=True)
class Figures:
    rate: float  # runs a second that were sent
    steps: float
    minutes: float
    backlog_p50: float
    backlog_p99: float
    backlog_at_end: float  # when the last webhook was answered
    drained_seconds: float  # from then until the last run ended
    end_to_end_p50_ms: float
    end_to_end_p99_ms: float
    accept_p50_ms: float
    accept_p99_ms: float
    late_p99_ms: float  # of the load, behind its schedule
    cores: float  # used by the system while it was sent to
    cpu_per_1000: float  # seconds
    cores_of_others: float
    lost: float
    doubled: float


LINES = (
    Line("rate", "runs/s sent", 1),
    Line("steps", "steps of each", 0),
    Line("minutes", "minutes", 1),
    Line("backlog_p50", "backlog p50", 0),
    Line("backlog_p99", "backlog p99", 0),
    Line("backlog_at_end", "backlog when sending ended", 0),
    Line("drained_seconds", "s until all had ended", 2),
    Line("end_to_end_p50_ms", "end to end p50 ms"),
    Line("end_to_end_p99_ms", "end to end p99 ms"),
    Line("accept_p50_ms", "accept p50 ms"),
    Line("accept_p99_ms", "accept p99 ms"),
    Line("cores", "cores used", 2),
    Line("cpu_per_1000", "CPU s / 1000 runs", 2),
    Line("lost", "lost effects", 0, at_most(0)),
    Line("doubled", "doubled effects", 0, at_most(0)),
    Line("late_p99_ms", "load behind schedule p99 ms"),
    Line("cores_of_others", "cores used by others", 2),
)


@dataclass
class Sent:
    replies: list[Reply] = field(default_factory=list)
    backlog: list[int] = field(default_factory=list)  # one each second


async def _send(system: Installation, hook: str, *, steps: int, rate: float, seconds: float) -> Sent:
    sent = Sent()
    sending = asyncio.create_task(Sender(hook).open_loop(systems.bodies(steps), rate=rate, seconds=seconds))
    while not sending.done():
        await asyncio.wait({sending}, timeout=SAMPLE_SECONDS)
        sent.backlog.append(await asyncio.to_thread(system.backlog))
        if len(sent.backlog) % TELL_EVERY == 0:
            say(f"{len(sent.backlog) // TELL_EVERY} min: backlog {sent.backlog[-1]}")
    sent.replies = await sending
    return sent


def play(stage: Stage) -> Round:
    rate, steps = stage.options.rate or RATE, stage.options.steps or STEPS
    seconds = (stage.options.minutes or MINUTES) * 60
    played = Round()
    with stage.lightfield() as system:
        hook = system.hook(steps)
        stage.warm(system, hook, steps=steps)
        meter = validity.Meter(system.roots, system.sink.pid)
        sent = load.run(_send(system, hook, steps=steps, rate=rate, seconds=seconds))
        used = meter.read()
        system.wait_for(sent.replies)
        ends, account, problems = judged(system, sent.replies)
    figures = _figures(sent, ends.at, used, account)
    played.add(system.name, asdict(figures), problems, validity.of_machine(used.cores_of_others))
    played.notes["backlog"] = sent.backlog
    return played


def _figures(sent: Sent, at: dict[str, float], used: validity.Usage, account: Account) -> Figures:
    whole, accepted = end_to_end(sent.replies, at), [reply.seconds for reply in sent.replies]
    answered = max(reply.sent_at + reply.seconds for reply in sent.replies)
    return Figures(
        rate=len(sent.replies) / used.seconds,
        steps=sent.replies[0].steps,
        minutes=used.seconds / 60,
        backlog_p50=percentile(sent.backlog, 50),
        backlog_p99=percentile(sent.backlog, 99),
        backlog_at_end=sent.backlog[-1],
        drained_seconds=max(0.0, max(at.values(), default=float("nan")) - answered),
        end_to_end_p50_ms=milliseconds(whole, 50),
        end_to_end_p99_ms=milliseconds(whole, 99),
        accept_p50_ms=milliseconds(accepted, 50),
        accept_p99_ms=milliseconds(accepted, 99),
        late_p99_ms=milliseconds([reply.late for reply in sent.replies], 99),
        cores=used.system / used.seconds,
        cpu_per_1000=used.system / len(sent.replies) * 1000,
        cores_of_others=used.cores_of_others,
        lost=len(account.lost),
        doubled=len(account.doubled),
    )


BENCH = Bench("steady", "a load that goes on for minutes: backlog, times, cores", 1, LINES, play)
