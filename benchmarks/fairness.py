"""One workflow's flood beside another's trickle: 20,000 events lie in the outbox, and 10 other runs a second go on.

The flood is put in by SQL, so that it is all there at once; the sweep finds it. The trickle is measured alone first, in the
same installation, and then while the flood lasts.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from benchmarks import copies, latency, load, systems, validity
from benchmarks.far_end import Account
from benchmarks.figures import Line, Round, at_most, at_most_quiet, milliseconds
from benchmarks.installation import Installation, Workflow
from benchmarks.load import Reply, Sender
from benchmarks.stage import STEPS, Bench, Stage, end_to_end, judged
from lightfield.local.boot import say

FLOOD_ENDED = """
SELECT extract(epoch FROM max(finished_at))::float8, count(*) FILTER (WHERE status <> 'completed')
FROM executions_run WHERE workflow_id = %s
"""


@dataclass(frozen=True)
class Figures:
    p50_ms: float  # end to end, of the runs sent while the flood lasted
    p95_ms: float
    p99_ms: float
    quiet_p50_ms: float
    quiet_p95_ms: float
    p50_times_quiet: float
    p95_times_quiet: float
    accept_p99_ms: float
    runs: float  # that were sent while the flood lasted
    flood_left: float  # events and runs, when the last webhook was sent
    flood_seconds: float  # until its last run ended
    flood_runs_per_second: float
    cores_of_others: float
    lost: float
    doubled: float


LINES = (
    Line("p50_ms", "p50 ms beside the flood", 1, at_most_quiet(2, "quiet_p50_ms")),
    Line("p95_ms", "p95 ms beside the flood", 1, at_most_quiet(2, "quiet_p95_ms", or_else=250)),
    Line("p99_ms", "p99 ms beside the flood"),
    Line("quiet_p50_ms", "p50 ms alone"),
    Line("quiet_p95_ms", "p95 ms alone"),
    Line("p50_times_quiet", "p50, times alone", 2),
    Line("p95_times_quiet", "p95, times alone", 2),
    Line("accept_p99_ms", "accept p99 ms beside the flood"),
    Line("lost", "lost effects", 0, at_most(0)),
    Line("doubled", "doubled effects", 0, at_most(0)),
    Line("runs", "runs beside the flood", 0),
    Line("flood_left", "events left of the flood at the last one sent", 0),
    Line("flood_seconds", "s that the flood lasted"),
    Line("flood_runs_per_second", "runs/s of the flood"),
    Line("cores_of_others", "cores used by others", 2),
)


def pour(system: Installation, template_event: str, number: int) -> dict[str, int]:
    """Put so many pending events beside the one that is there; the id in each payload, with its number of steps."""
    changed = {
        "id": "uuid_v7()",
        "payload": "jsonb_build_object('id', 'flood-' || x.n, 'steps', %(steps)s::int)",
        "trace_id": "md5(random()::text)",
        "status": "'pending'",
        "body_digest": "NULL",
        "captured_at": "clock_timestamp()",
        "decided_at": "NULL",
    }
    params = {"steps": STEPS, "number": number, "template": template_event}
    each = "generate_series(1, %(number)s::int) AS x(n)"
    copies.insert(
        system.connection,
        "triggers_outboxevent",
        changed,
        each=each,
        template="t.id = %(template)s::uuid",
        params=params,
    )
    return {f"flood-{n}": STEPS for n in range(1, number + 1)}


@dataclass(frozen=True)
class Trickle:
    """10 runs a second: what was sent, and when each run ended."""

    replies: list[Reply]
    at: dict[str, float]

    def percentile(self, percent: float) -> float:
        """End to end, in ms."""
        return milliseconds(end_to_end(self.replies, self.at), percent)


@dataclass(frozen=True)
class Flood:
    """What became of the flood, and what was sent beside it."""

    beside: Trickle
    left: int
    seconds: float
    used: validity.Usage
    account: Account


def play(stage: Stage) -> Round:
    played = Round()
    with stage.lightfield() as system:
        hook, flooding = system.hook(STEPS), system.publish_requests("Flood", STEPS)
        stage.warm(system, hook)
        quiet, problems = _alone(system, hook, stage.options.quiet_seconds)
        say(
            f"alone: p50 {quiet.percentile(50):.0f} ms; now {stage.options.flood:,} events of another workflow"
        )
        flood, found = _beside_a_flood(system, hook, flooding, stage)
    played.add(
        system.name,
        asdict(_figures(stage.options.flood, flood, quiet)),
        problems + found,
        validity.of_machine(flood.used.cores_of_others),
    )
    return played


def _alone(system: Installation, hook: str, seconds: float) -> tuple[Trickle, list[str]]:
    replies = load.run(Sender(hook).open_loop(systems.bodies(STEPS), rate=latency.RATE, seconds=seconds))
    system.wait_for(replies)
    ends, _, problems = judged(system, replies)
    return Trickle(replies, ends.at), problems


def _beside_a_flood(
    system: Installation, hook: str, flooding: Workflow, stage: Stage
) -> tuple[Flood, list[str]]:
    template = load.run(Sender(flooding.hook).send(next(systems.bodies(STEPS))))
    system.wait_for([template])
    system.sink.forget()
    meter = validity.Meter(system.roots, system.sink.pid)
    flood, began = pour(system, template.event_id, stage.options.flood), time.time()
    replies = load.run(
        Sender(hook).open_loop(systems.bodies(STEPS), rate=latency.RATE, seconds=stage.options.flood_seconds)
    )
    left, used = system.backlog_of(flooding), meter.read()
    say(f"{left:,} of the flood are left; waiting for them")
    system.wait_for(replies, also=len(flood) * STEPS)
    ends, account, problems = judged(system, replies, also=flood)
    ended, others = system.connection.execute(FLOOD_ENDED, [flooding.id]).fetchall()[0]
    if others:
        problems.append(f"{others} runs of the flood did not complete")
    beside = Trickle([reply for reply in replies if reply.sent_at < ended], ends.at)
    return Flood(beside, left, ended - began, used, account), problems


def _figures(number: int, flood: Flood, quiet: Trickle) -> Figures:
    return Figures(
        p50_ms=flood.beside.percentile(50),
        p95_ms=flood.beside.percentile(95),
        p99_ms=flood.beside.percentile(99),
        quiet_p50_ms=quiet.percentile(50),
        quiet_p95_ms=quiet.percentile(95),
        p50_times_quiet=flood.beside.percentile(50) / quiet.percentile(50),
        p95_times_quiet=flood.beside.percentile(95) / quiet.percentile(95),
        accept_p99_ms=milliseconds([reply.seconds for reply in flood.beside.replies], 99),
        runs=len(flood.beside.replies),
        flood_left=flood.left,
        flood_seconds=flood.seconds,
        flood_runs_per_second=number / flood.seconds,
        cores_of_others=flood.used.cores_of_others,
        lost=len(flood.account.lost),
        doubled=len(flood.account.doubled),
    )


BENCH = Bench(
    "fairness", "one workflow's flood of 20,000 events, and another's 10 runs a second", 1, LINES, play
)
