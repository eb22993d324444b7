"""60 agents at once, each of which waits for its model for 60 s in all, in one process; and 10 fast runs a second beside them.

The model is a script: four turns with three tool calls between them, that read, upsert and create a record. The fast runs are of
fast steps only, and are measured alone first, in the same installation.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import psycopg

from benchmarks import cpu, latency, load, models, systems, validity, waiting
from benchmarks.figures import Line, Round, at_most, milliseconds, percentile
from benchmarks.installation import Installation, Workflow
from benchmarks.load import Reply, Sender
from benchmarks.memory import pss_mb
from benchmarks.models import Model
from benchmarks.stage import Bench, Stage, end_to_end
from lightfield.local.boot import say

TURNS = 4
SLACK_SECONDS = 15.0  # of the bar, beyond what the model takes
PATIENCE = 120.0  # seconds beyond it, then it is given up
LOOK_EVERY = 0.25  # seconds
WARM_AGENTS = 8
# Of the worker's process: all that is open; what is at work or in a transaction; what waits in one for somebody else.
CONNECTIONS = """
SELECT count(*), count(*) FILTER (WHERE state <> 'idle'), count(*) FILTER (
  WHERE state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '1 second')
FROM pg_stat_activity WHERE application_name LIKE 'lightfield-worker-ai:%'
"""
RECORDS = "SELECT (SELECT count(*) FROM crm_account WHERE name = ANY (%(names)s)), (SELECT count(*) FROM crm_note WHERE title = ANY (%(names)s))"
WHO = {"$find": r'">([^<]+)</'}
FAST = [
    {
        "key": "passes",
        "type": "condition",
        "config": {"left": "{{ trigger.steps }}", "operator": "is", "right": 0},
    },
    *({"key": f"said{n}", "type": "log", "config": {"message": "{{ trigger.id }}"}} for n in range(2)),
]


@dataclass(frozen=True)
class Figures:
    agents: float
    agent_seconds: float  # that its model takes, over all turns
    done_seconds: float  # from the first webhook sent until the last agent had ended
    beyond_seconds: float  # of that, what is not the model's
    fast_p50_ms: float
    fast_p99_ms: float
    quiet_p50_ms: float
    quiet_p99_ms: float
    fast_p50_times_quiet: float
    fast_runs: float
    connections: float  # open at once, at most
    connections_busy_p50: float  # at a statement or in a transaction, while all agents wait
    connections_busy: float  # at most
    held: float  # samples in which one was idle in a transaction for over a second
    worker_mb_before: float  # PSS
    worker_mb: float
    worker_cpu_seconds: float
    lost: float
    doubled: float
    cores_of_others: float


LINES = (
    Line("agents", "agents at once", 0),
    Line("agent_seconds", "s that the model of each takes", 0),
    Line("done_seconds", "s until all are done", 1),
    Line("beyond_seconds", "  of that, not the model's", 1, at_most(SLACK_SECONDS)),
    Line("fast_p50_ms", "fast p50 ms beside them"),
    Line("fast_p99_ms", "fast p99 ms beside them"),
    Line("quiet_p50_ms", "fast p50 ms alone"),
    Line("quiet_p99_ms", "fast p99 ms alone"),
    Line("fast_p50_times_quiet", "fast p50, times alone", 2, at_most(1.5)),
    Line("fast_runs", "fast runs beside them", 0),
    Line("connections", "worker-ai's database connections, at most", 0, at_most(4)),
    Line("connections_busy_p50", "  at work, p50 of the samples", 0, at_most(0)),
    Line("connections_busy", "  at work, at most", 0),
    Line("held", "  samples with one held by whoever waits", 0, at_most(0)),
    Line("worker_mb_before", "worker-ai PSS MB before", 1),
    Line("worker_mb", "worker-ai PSS MB with all agents", 1),
    Line("worker_cpu_seconds", "worker-ai CPU s", 1),
    Line("lost", "lost turns and records", 0, at_most(0)),
    Line("doubled", "doubled turns and records", 0, at_most(0)),
    Line("cores_of_others", "cores used by others", 2),
)


@dataclass
class Samples:
    """Of the worker's process while agents are at it."""

    connections: list[tuple[int, int, int]] = field(default_factory=list)
    mb: list[float] = field(default_factory=list)


def script(seconds_each: float) -> list[dict[str, Any]]:
    """What the model says, turn by turn, each after so many seconds."""

    def call(name: str, **arguments: Any) -> dict[str, Any]:
        return {"calls": [{"name": name, "arguments": arguments}], "usage": {"input": 1500, "output": 60}}

    sought = [{"field": "name", "operator": "is", "value": WHO}]
    turns = [
        call("find_records", entity="account", filters=sought),
        call("upsert_record", entity="account", match={"name": WHO}, fields={"headcount": "11-50"}),
        call("create_record", entity="note", fields={"title": WHO, "account": {"$result": "2.id"}}),
        call("final_output", account_id={"$result": "2.id"}, note_id={"$result": "3.id"}),
    ]
    return [{**turn, "after_seconds": seconds_each} for turn in turns]


def agent_step(name: str) -> dict[str, Any]:
    ids = {name: {"type": "string"} for name in ("account_id", "note_id")}
    entities = ["account", "note"]
    config = {
        "model": f"openai:{name}",
        "instructions": "Find the account, update it, and note that you did.",
        "prompt": "The account: {{ trigger.id }}",
        "output_schema": {
            "type": "object",
            "properties": ids,
            "required": [*ids],
            "additionalProperties": False,
        },
        "tools": [
            {"type": "read_records", "entities": entities},
            {"type": "write_records", "entities": entities, "operations": ["create", "upsert"]},
        ],
        "limits": {"seconds": 600},
    }
    return {"key": "agent", "type": "ai_agent", "config": config}


def play(stage: Stage) -> Round:
    options, played = stage.options, Round()
    scripts = {"quick": script(0), "slow": script(options.agent_seconds / TURNS)}
    with models.running(stage.home, scripts) as model:
        settings = {
            "LIGHTFIELD_AI_BASE_URL": f"http://{model.address}/v1",
            "LIGHTFIELD_AI_MODEL": "quick",
            "LIGHTFIELD_EGRESS_ALLOW": model.address,
        }
        with stage.lightfield(settings=settings) as system:
            figures, problems, invalid = _played(stage, system, model)
    played.add("lightfield", asdict(figures), problems, invalid)
    return played


def _played(stage: Stage, system: Installation, model: Model) -> tuple[Figures, list[str], list[str]]:
    options = stage.options
    agents = system.publish("Agents", [agent_step("slow")])
    fast = system.publish("Fast", FAST)
    _warm(stage, system, fast)
    quiet, quiet_others = _quiet(system, model, fast, options.quiet_seconds)
    say(
        f"fast alone {milliseconds(quiet, 50):.0f} ms; now {options.agents} agents of {options.agent_seconds:g} s"
    )
    worker = system.pids()["worker-ai"]
    before, spent = pss_mb(worker) or 0.0, cpu.seconds_of([worker])
    meter = validity.Meter(system.roots, model.pid)
    slow, beside, samples = load.run(
        _side_by_side(system, agents, fast, options.agents, options.agent_seconds)
    )
    waiting.until("all runs to end", lambda: system.backlog() == 0, seconds=PATIENCE)
    used, spent = meter.read(), cpu.seconds_of([worker]) - spent
    ends = system.ends_of(slow + beside, system.sink.account({}))
    lost, doubled = _books(system, model, slow)
    problems = [f"lightfield: {problem}" for problem in [*ends.problems, *lost, *doubled]]
    if not any(count for count, _, _ in samples.connections):
        problems.append("no connection of worker-ai was ever seen, so nothing is known of them")
    seconds = max((ends.at[one.run] for one in slow if one.run in ends.at), default=float("nan"))
    seconds -= min(one.sent_at for one in slow)
    fast_seconds = end_to_end(beside, ends.at)
    busy = [count for _, count, _ in samples.connections]
    figures = Figures(
        agents=len(slow),
        agent_seconds=options.agent_seconds,
        done_seconds=seconds,
        beyond_seconds=seconds - options.agent_seconds,
        fast_p50_ms=milliseconds(fast_seconds, 50),
        fast_p99_ms=milliseconds(fast_seconds, 99),
        quiet_p50_ms=milliseconds(quiet, 50),
        quiet_p99_ms=milliseconds(quiet, 99),
        fast_p50_times_quiet=percentile(fast_seconds, 50) / percentile(quiet, 50),
        fast_runs=len(beside),
        connections=max(count for count, _, _ in samples.connections),
        connections_busy_p50=percentile(busy, 50),
        connections_busy=max(busy),
        held=sum(count > 0 for _, _, count in samples.connections),
        worker_mb_before=before,
        worker_mb=max(samples.mb),
        worker_cpu_seconds=spent,
        lost=len(lost),
        doubled=len(doubled),
        cores_of_others=used.cores_of_others,
    )
    return figures, problems, validity.of_machine(max(used.cores_of_others, quiet_others))


def _warm(stage: Stage, system: Installation, fast: Workflow) -> None:
    """The worker imports what speaks with models when it has its first agent."""
    quick = system.publish("Warm", [agent_step("quick")])
    load.run(Sender(quick.hook).closed_loop(islice(systems.bodies(), WARM_AGENTS)))
    load.run(Sender(fast.hook).closed_loop(islice(systems.bodies(), stage.options.warm)))
    waiting.until("the first agents", lambda: system.backlog() == 0, seconds=PATIENCE)


def _quiet(system: Installation, model: Model, fast: Workflow, seconds: float) -> tuple[list[float], float]:
    """How long fast runs take alone, and how many cores others used meanwhile."""
    meter = validity.Meter(system.roots, model.pid)
    replies = load.run(Sender(fast.hook).open_loop(systems.bodies(), rate=latency.RATE, seconds=seconds))
    waiting.until("the fast runs", lambda: system.backlog() == 0, seconds=PATIENCE)
    used = meter.read()
    ends = system.ends_of(replies, system.sink.account({}))
    return end_to_end(replies, ends.at), used.cores_of_others


async def _side_by_side(
    system: Installation, agents: Workflow, fast: Workflow, number: int, seconds: float
) -> tuple[list[Reply], list[Reply], Samples]:
    is_over = asyncio.Event()
    beside = asyncio.create_task(
        Sender(fast.hook).open_loop(systems.bodies(), rate=latency.RATE, until=is_over)
    )
    slow = await Sender(agents.hook).closed_loop(islice(systems.bodies(), number))
    samples, loop = Samples(), asyncio.get_running_loop()
    give_up, worker = loop.time() + seconds + PATIENCE, system.pids()["worker-ai"]
    with psycopg.connect(system.database_url, autocommit=True) as connection:
        while await asyncio.to_thread(system.backlog_of, agents) and loop.time() < give_up:
            await asyncio.to_thread(_sample, connection, worker, samples)
            await asyncio.sleep(LOOK_EVERY)
    is_over.set()
    return slow, await beside, samples


def _sample(connection: psycopg.Connection[Any], worker: int, samples: Samples) -> None:
    row = connection.execute(CONNECTIONS).fetchone()
    assert row is not None
    samples.connections.append((row[0], row[1], row[2]))
    samples.mb.append(pss_mb(worker) or 0.0)


def _books(system: Installation, model: Model, slow: list[Reply]) -> tuple[list[str], list[str]]:
    """What is missing, and what was done more than once, by the model's books and by the records."""
    number, names = len(slow), [one.run for one in slow]
    asked = model.asked("slow")
    row = system.connection.execute(RECORDS, {"names": names}).fetchone()
    assert row is not None
    found = {"turns": len(asked), "accounts": row[0], "notes": row[1]}
    wanted = {"turns": number * TURNS, "accounts": number, "notes": number}
    lost = [f"{found[what]} {what} of {wanted[what]}" for what in wanted if found[what] < wanted[what]]
    doubled = [f"{found[what]} {what} of {wanted[what]}" for what in wanted if found[what] > wanted[what]]
    again = [key for key, times in asked.items() if times > 1]
    return lost, doubled + [f"turn {key} asked again" for key in again]


BENCH = Bench(
    "agents",
    "60 agents at once whose model takes 60 s each, in one process, and fast runs beside them",
    1,
    LINES,
    play,
)
