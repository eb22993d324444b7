"""Slow work beside fast work: 500 one-step runs whose request takes 10 s, and 10 three-step runs a second of another workflow.

The fast runs are measured alone first, in the same installation. Slow and fast ones then begin together, and the fast ones go on
until the last slow run has ended.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from itertools import islice

from benchmarks import latency, load, systems, validity
from benchmarks.far_end import Account
from benchmarks.figures import Line, Round, at_most, milliseconds
from benchmarks.installation import Installation, Workflow
from benchmarks.load import Reply, Sender
from benchmarks.stage import STEPS, Bench, Stage, end_to_end, judged
from lightfield.local.boot import say

LOOK_EVERY = 0.25  # seconds, whether the slow runs have ended
PATIENCE = 10  # times the length of a slow request, then it is given up


@dataclass(frozen=True)
class Figures:
    slow_done_seconds: float  # from the first slow webhook sent to the last slow run ended
    slow_done_after_sending_seconds: float  # from the last slow webhook accepted
    slow_sending_seconds: float
    fast_p50_ms: float  # end to end, beside the slow ones
    fast_p99_ms: float
    quiet_p50_ms: float
    quiet_p99_ms: float
    fast_p50_times_quiet: float
    fast_p99_times_quiet: float
    fast_accept_p99_ms: float
    fast_runs: float
    cpu_seconds: float
    cores_of_others: float
    lost: float
    doubled: float


LINES = (
    Line("slow_done_seconds", "slow all done in s", 2, at_most(13)),
    Line("slow_done_after_sending_seconds", "the same, from the last one sent", 2),
    Line("slow_sending_seconds", "of that, s of sending", 2),
    Line("fast_p50_ms", "fast p50 ms beside them", 1, at_most(50)),
    Line("fast_p99_ms", "fast p99 ms beside them", 1, at_most(800)),
    Line("quiet_p50_ms", "fast p50 ms alone"),
    Line("quiet_p99_ms", "fast p99 ms alone"),
    Line("fast_p50_times_quiet", "fast p50, times alone", 2, at_most(2)),
    Line("fast_p99_times_quiet", "fast p99, times alone", 2),
    Line("fast_accept_p99_ms", "accept p99 ms beside them"),
    Line("lost", "lost effects", 0, at_most(0)),
    Line("doubled", "doubled effects", 0, at_most(0)),
    Line("fast_runs", "fast runs beside them", 0),
    Line("cpu_seconds", "CPU s of the system", 1),
    Line("cores_of_others", "cores used by others", 2),
)


@dataclass(frozen=True)
class Sent:
    slow: list[Reply]
    fast: list[Reply]


async def _side_by_side(
    system: Installation, slow: Workflow, fast_hook: str, number: int, patience: float
) -> Sent:
    is_over = asyncio.Event()
    fast = asyncio.create_task(
        Sender(fast_hook).open_loop(systems.bodies(STEPS), rate=latency.RATE, until=is_over)
    )
    replies = await Sender(slow.hook).closed_loop(islice(systems.bodies(1), number))
    give_up = asyncio.get_running_loop().time() + patience
    while await asyncio.to_thread(system.backlog_of, slow):
        if asyncio.get_running_loop().time() > give_up:
            break  # the wait after this says how many are missing
        await asyncio.sleep(LOOK_EVERY)
    is_over.set()
    return Sent(replies, await fast)


def play(stage: Stage) -> Round:
    options, played = stage.options, Round()
    with stage.lightfield() as system:
        slow = system.publish_requests("Slow", 1, delay_ms=options.slow_ms)
        fast_hook = system.hook(STEPS)
        stage.warm(system, fast_hook)
        quiet, problems = latency.measure(system, fast_hook, options.quiet_seconds)
        played.problems += problems
        say(
            f"fast alone {quiet.end_to_end_p50_ms:.0f} / {quiet.end_to_end_p99_ms:.0f} ms; now {options.slow} slow ones"
        )
        system.sink.forget()
        meter = validity.Meter(system.roots, system.sink.pid)
        patience = options.slow_ms / 1000 * PATIENCE
        sent = load.run(_side_by_side(system, slow, fast_hook, options.slow, patience))
        replies = sent.slow + sent.fast
        system.wait_for(replies)
        used = meter.read()
        ends, account, problems = judged(system, replies)
    figures = _figures(sent, ends.at, quiet, used, account)
    invalid = validity.of_machine(max(used.cores_of_others, quiet.cores_of_others))
    played.add(system.name, asdict(figures), problems, invalid)
    return played


def _figures(
    sent: Sent, at: dict[str, float], quiet: latency.Figures, used: validity.Usage, account: Account
) -> Figures:
    first = min(reply.sent_at for reply in sent.slow)
    accepted = max(reply.sent_at + reply.seconds for reply in sent.slow)
    ended = max((at[reply.run] for reply in sent.slow if reply.run in at), default=float("nan"))
    fast = end_to_end(sent.fast, at)
    p50, p99 = milliseconds(fast, 50), milliseconds(fast, 99)
    return Figures(
        slow_done_seconds=ended - first,
        slow_done_after_sending_seconds=ended - accepted,
        slow_sending_seconds=accepted - first,
        fast_p50_ms=p50,
        fast_p99_ms=p99,
        quiet_p50_ms=quiet.end_to_end_p50_ms,
        quiet_p99_ms=quiet.end_to_end_p99_ms,
        fast_p50_times_quiet=p50 / quiet.end_to_end_p50_ms,
        fast_p99_times_quiet=p99 / quiet.end_to_end_p99_ms,
        fast_accept_p99_ms=milliseconds([reply.seconds for reply in sent.fast], 99),
        fast_runs=len(sent.fast),
        cpu_seconds=used.system,
        cores_of_others=used.cores_of_others,
        lost=len(account.lost),
        doubled=len(account.doubled),
    )


BENCH = Bench("responsiveness", "500 slow steps of 10 s, and fast runs beside them", 1, LINES, play)
