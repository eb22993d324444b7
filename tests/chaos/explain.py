"""When something did not move in time: what it was, and everything that may tell why. To standard error, at once."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

import psycopg
import redis

from lightfield.local.boot import say
from tests.chaos.pace import own_time
from tests.chaos.processes import state_of
from tests.chaos.stack import Stack

SHOWN = 8
LOG_LINES = 4
COMPLAINTS = ('"level": "warning"', '"level": "error"', '"level": "critical"', "Traceback")

STANDING = """
SELECT r.id::text, r.status, r.seq, s.id, s.key, s.lane, s.status, s.fence, s.attempts, s.lost, s.lost_alone,
  s.quarantined, s.owner, s.rings, round(extract(epoch FROM clock_timestamp() - s.rung_at)::numeric, 1),
  round(extract(epoch FROM s.lease_expires_at - clock_timestamp())::numeric, 1),
  round(extract(epoch FROM s.due_at - clock_timestamp())::numeric, 1)
FROM executions_run r JOIN executions_steprun s ON s.run_id = r.id
WHERE r.status IN ('pending', 'running', 'waiting') AND s.status IN ('ready', 'queued', 'running', 'waiting')
  AND (%s::text[] IS NULL OR r.id::text = ANY(%s)) ORDER BY r.created_at LIMIT 40
"""
NAMES = [
    "run",
    "run_status",
    "seq",
    "step",
    "key",
    "lane",
    "status",
    "fence",
    "attempts",
    "lost",
    "lost_alone",
    "quarantined",
    "owner",
    "rings",
    "rung_seconds_ago",
    "lease_seconds_left",
    "due_in_seconds",
]
COUNTS = """
SELECT s.lane, s.status, count(*) FROM executions_steprun s
WHERE s.status IN ('ready', 'queued', 'running', 'waiting') GROUP BY 1, 2 ORDER BY 1, 2
"""
PENDING = "SELECT count(*), min(captured_at)::text FROM triggers_outboxevent WHERE status = 'pending'"
BEATS = "SELECT node, round(extract(epoch FROM clock_timestamp() - at)::numeric, 1) FROM executions_heartbeat ORDER BY 1"
BACKENDS = """
SELECT application_name, state, coalesce(wait_event_type || ':' || wait_event, ''),
  round(extract(epoch FROM clock_timestamp() - state_change)::numeric, 1), left(regexp_replace(query, '\\s+', ' ', 'g'), 70)
FROM pg_stat_activity WHERE application_name LIKE 'lightfield-%%' AND state <> 'idle' ORDER BY 4 DESC LIMIT 12
"""


def tell(stack: Stack, about: str, run_ids: Sequence[str] | None = None) -> None:
    """Everything that is cheap to know now."""
    say(f"--- {about}: something did not move; seconds here count {own_time.stretch:.1f}-fold")
    load = os.getloadavg()
    say(
        f"load {load[0]:.1f} {load[1]:.1f} {load[2]:.1f} on {os.cpu_count()} cores, {time.strftime('%H:%M:%S')}"
    )
    for words in (*_processes(stack), *_rows(stack, run_ids), *_queues(stack), *_logs(stack)):
        say(f"    {words}")
    say("---")


def _processes(stack: Stack) -> list[str]:
    told = []
    for one in [*stack.servers.running, *stack.supervisor.processes]:
        pid = one.child.pid if one.child else 0
        told.append(f"{one.name} {pid} {state_of(pid) or 'gone'}")
    return ["processes: " + ", ".join(told)]


def _rows(stack: Stack, run_ids: Sequence[str] | None) -> list[str]:
    ids = [*run_ids] if run_ids is not None else None
    try:
        with psycopg.connect(stack.database_url, autocommit=True) as connection:

            def ask(statement: str, *params: object) -> list[tuple[object, ...]]:
                return connection.execute(statement.encode(), params or None).fetchall()

            standing = ask(STANDING, ids, ids)
            return [
                f"pending events and the oldest: {ask(PENDING)}",
                f"live steps: {ask(COUNTS)}",
                f"heartbeats, seconds ago: {ask(BEATS)}",
                *(f"backend {row}" for row in ask(BACKENDS)),
                *(
                    " ".join(f"{name}={value}" for name, value in zip(NAMES, row, strict=True))
                    for row in standing[:SHOWN]
                ),
                f"{len(standing)} of these, {min(SHOWN, len(standing))} shown",
            ]
    except psycopg.Error as error:
        return [f"PostgreSQL does not tell: {error}"]


def _queues(stack: Stack) -> list[str]:
    try:
        there = stack.redis()
        lengths = {queue: there.llen(queue) for queue in ("fast", "http", "ai")}
        bells = [key.decode() for key in there.scan_iter("*bell*", count=1000)][:SHOWN]
    except redis.RedisError as error:
        return [f"Redis does not tell: {error}"]
    return [f"queues {lengths}, flags {bells}"]


def _logs(stack: Stack) -> list[str]:
    """The last complaints of each process."""
    told = []
    for one in stack.supervisor.processes:
        with contextlib.suppress(OSError):
            lines = stack.home.log_file(one.name).read_text(errors="replace").splitlines()[-200:]
            complaints = [line for line in lines if any(word in line for word in COMPLAINTS)]
            told += [f"{one.name}: {line[:240]}" for line in complaints[-LOG_LINES:]]
    return told
