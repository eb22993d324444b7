"""A host that answers 503 to a thousand runs for two minutes, and comes back; another workflow's runs go on beside them.

Asked is how many requests it gets while it fails, whether it gets them in a burst when it is back, whether every run
completes, each request exactly once, and whether others notice anything. All settings are those the product comes with:
five attempts, which without the breaker would be used up within 15 seconds.
"""

from __future__ import annotations

import asyncio
import collections
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import load, systems, validity, waiting
from benchmarks.figures import Line, Round, at_most, milliseconds
from benchmarks.installation import Installation, request_step
from benchmarks.load import Reply, Sender
from benchmarks.stage import Bench, Stage, end_to_end, judged
from lightfield.local.boot import say

BESIDE_RATE = 5.0  # runs a second of the other workflow
LONGEST_DRAIN = 900.0  # seconds
USED = """
SELECT coalesce(max(attempts - held - lost), 0), coalesce(max(held), 0),
  count(*) FILTER (WHERE status <> 'completed')
FROM executions_steprun WHERE workflow_id = %s
"""


@dataclass(frozen=True)
class Figures:
    runs: float
    outage_seconds: float
    refused: float  # requests that were answered 503
    refused_per_run: float
    refused_later_per_minute: float  # once ten seconds were over
    back_after_seconds: float  # from its return until the first request that it answered 200
    drain_seconds: float  # from there until the last
    per_second: float  # requests in that time, the mean
    busiest_second: float
    burst: float  # the busiest second, times the mean
    most_attempts: float  # that a run used up
    most_holds: float  # that a run was put back
    unfinished: float
    beside_p50_ms: float
    beside_p95_ms: float
    lost: float
    doubled: float
    cores_of_others: float


LINES = (
    Line("runs", "runs", 0),
    Line("outage_seconds", "s of 503", 0),
    Line("refused", "requests answered 503", 0),
    Line("refused_per_run", "  for each run", 2, at_most(1.2)),
    Line("refused_later_per_minute", "  a minute, after the first 10 s", 1, at_most(20)),
    Line("back_after_seconds", "s until the host's return was noticed", 1, at_most(70)),
    Line("drain_seconds", "s until all runs had gone out"),
    Line("per_second", "  requests/s, the mean"),
    Line("busiest_second", "  requests in the busiest second", 0),
    Line("burst", "  busiest second, times the mean", 2, at_most(3)),
    Line("most_attempts", "attempts that a run used up, at most", 0, at_most(5)),
    Line("most_holds", "times that a run was put back, at most", 0),
    Line("unfinished", "runs that did not complete", 0, at_most(0)),
    Line("beside_p50_ms", "p50 ms of another host's runs"),
    Line("beside_p95_ms", "p95 ms of another host's runs", 1, at_most(250)),
    Line("lost", "lost effects", 0, at_most(0)),
    Line("doubled", "doubled effects", 0, at_most(0)),
    Line("cores_of_others", "cores used by others", 2),
)


@dataclass(frozen=True)
class Curve:
    """What the host saw: Unix times."""

    refused: list[float]
    answered: list[float]
    failed_at: float
    returned_at: float

    def per_second(self) -> list[tuple[int, int, int]]:
        """For each second since it failed in which there was any: refused, answered."""
        refused = collections.Counter(math.floor(at - self.failed_at) for at in self.refused)
        answered = collections.Counter(math.floor(at - self.failed_at) for at in self.answered)
        return [(second, refused[second], answered[second]) for second in sorted({*refused, *answered})]

    def drained(self) -> tuple[float, float]:
        """Seconds from the first request that was answered to the last, at least one; and those in the busiest second."""
        if not self.answered:
            return math.nan, math.nan
        first = min(self.answered)
        bins = collections.Counter(math.floor(at - first) for at in self.answered)
        return max(1.0, max(self.answered) - first), max(bins.values())


def play(stage: Stage) -> Round:
    played = Round()
    with stage.lightfield() as system:
        beside_url = system.sink.url().replace(
            "127.0.0.1", "localhost"
        )  # another host, as circuits know them
        beside = system.publish("Beside", [request_step(0, beside_url)])
        calling = system.publish("Outage", [request_step(0, system.sink.outage_url())])
        stage.warm(system, beside.hook, steps=1)
        meter = validity.Meter(system.roots, system.sink.pid)
        replies, others, curve = _outage(stage, system, calling.hook, beside.hook)
        used = meter.read()
        ends, account, problems = judged(system, replies + others)
        row = system.connection.execute(USED, [calling.id]).fetchone()
        assert row is not None
    seconds, busiest = curve.drained()
    figures = Figures(
        runs=len(replies),
        outage_seconds=curve.returned_at - curve.failed_at,
        refused=len(curve.refused),
        refused_per_run=len(curve.refused) / len(replies),
        refused_later_per_minute=_later(curve),
        back_after_seconds=min(curve.answered, default=math.nan) - curve.returned_at,
        drain_seconds=seconds,
        per_second=len(curve.answered) / seconds,
        busiest_second=busiest,
        burst=busiest / (len(curve.answered) / seconds),
        most_attempts=row[0],
        most_holds=row[1],
        unfinished=row[2],
        beside_p50_ms=milliseconds(end_to_end(others, ends.at), 50),
        beside_p95_ms=milliseconds(end_to_end(others, ends.at), 95),
        lost=len(account.lost),
        doubled=len(account.doubled),
        cores_of_others=used.cores_of_others,
    )
    played.add(system.name, asdict(figures), problems, validity.of_machine(used.cores_of_others))
    played.notes["seconds"] = curve.per_second()
    say("second: refused/answered " + " ".join(f"{at}:{bad}/{good}" for at, bad, good in curve.per_second()))
    return played


def _later(curve: Curve) -> float:
    seconds = curve.returned_at - curve.failed_at - 10
    later = [at for at in curve.refused if at > curve.failed_at + 10]
    return len(later) / seconds * 60 if seconds > 0 else 0.0


def _outage(
    stage: Stage, system: Installation, hook: str, beside: str
) -> tuple[list[Reply], list[Reply], Curve]:
    number, seconds = stage.options.outage_runs, stage.options.outage_seconds
    system.sink.fail()
    failed_at = time.time()
    say(f"the host answers 503 to {number} runs for {seconds:g} s")

    async def together() -> Any:
        bodies = systems.bodies(1)
        calls = Sender(hook).closed_loop(next(bodies) for _ in range(number))
        others = Sender(beside).open_loop(systems.bodies(1), rate=BESIDE_RATE, seconds=seconds)
        return await asyncio.gather(calls, others)

    replies, others = load.run(together())
    waiting.sleep(max(0.0, failed_at + seconds - time.time()))
    system.sink.recover()
    returned_at = time.time()
    say("the host is back")
    waiting.until("all runs to end", lambda: system.backlog() == 0, seconds=LONGEST_DRAIN, every=0.2)
    seen = system.sink.outages()
    refused = [at for at, status in seen if status == 503]
    answered = [at for at, status in seen if status == 200]
    return replies, others, Curve(refused, answered, failed_at, returned_at)


BENCH = Bench(
    "outage",
    "a host that answers 503 to 1,000 runs for 120 s and comes back, and another workflow's runs beside them",
    1,
    LINES,
    play,
)
