"""Workflows that start by the clock, cursors set back as a downtime would leave them, and what must be true of ticks.

The instants are counted here by PostgreSQL, minute by minute: a second opinion beside the product's own function.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lightfield.local.calls import Api
from tests.chaos.stack import Stack
from tests.chaos.workload import insist, say

EVERY_MINUTE = tuple(f"Chaos: ticking {number}" for number in (1, 2, 3, 4))
MORNING = {missed: f"Chaos: morning, {missed}" for missed in ("all", "latest", "none")}
FIRED_OF_300 = {"all": 300, "latest": 1, "none": 0}

FALL_BEHIND = """
UPDATE triggers_trigger t SET scheduled_from = t.scheduled_from - make_interval(mins => %s),
  settled_until = t.scheduled_from - make_interval(mins => %s),
  next_due_at = date_trunc('minute', t.scheduled_from - make_interval(mins => %s)) + interval '1 minute'
FROM workflows_workflow w WHERE w.id = t.workflow_id AND w.name = %s AND w.status = 'active' RETURNING t.id
"""
DUE = "SELECT count(*) FROM triggers_trigger WHERE next_due_at <= now() - interval '2 seconds'"
TICKS = """
SELECT count(*) FROM triggers_tick k JOIN triggers_trigger t ON t.id = k.trigger_id
JOIN workflows_workflow w ON w.id = t.workflow_id WHERE w.name = %s
"""
# Ticks of the last minutes that nobody had to catch up.
LATENESS = """
SELECT count(*), coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY late_by_seconds), 0),
  coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY late_by_seconds), 0), coalesce(max(late_by_seconds), 0)
FROM triggers_tick WHERE late_by_seconds < 60
"""

MISSING = """
SELECT w.name || ' ' || due FROM triggers_trigger t JOIN workflows_workflow w ON w.id = t.workflow_id
CROSS JOIN LATERAL generate_series(date_trunc('minute', t.scheduled_from) + interval '1 minute', t.settled_until,
  interval '1 minute') AS due
WHERE w.name = ANY(%s) AND NOT EXISTS (SELECT 1 FROM triggers_tick k WHERE k.trigger_id = t.id AND k.due_at = due)
"""
DOUBLE = """
SELECT w.name || ' ' || k.due_at FROM triggers_tick k JOIN triggers_trigger t ON t.id = k.trigger_id
JOIN workflows_workflow w ON w.id = t.workflow_id GROUP BY w.name, k.due_at HAVING count(*) > 1
"""
UNEVEN = """
SELECT e.workflow_id || ' ' || e.idempotency_key FROM triggers_outboxevent e
LEFT JOIN triggers_tick k ON k.event_id = e.id WHERE e.source = 'schedule' AND k.id IS NULL
UNION ALL
SELECT w.name || ' ' || k.due_at FROM triggers_tick k JOIN triggers_trigger t ON t.id = k.trigger_id
JOIN workflows_workflow w ON w.id = t.workflow_id
WHERE (SELECT count(*) FROM executions_run r WHERE r.event_id = k.event_id AND r.generation = 1) <> 1
"""
UNKNOWN = """
SELECT w.name || ' ' || k.due_at FROM triggers_tick k JOIN triggers_trigger t ON t.id = k.trigger_id
JOIN workflows_workflow w ON w.id = t.workflow_id
WHERE extract(second FROM k.due_at) <> 0 OR k.due_at <= t.scheduled_from OR k.due_at > k.fired_at
"""


def publish(api: Api) -> list[str]:
    """Make all of them. Returns their ids."""
    hour = 12 - datetime.now(UTC).hour  # where it is noon now, the morning is over and the next one is far
    zone = f"Etc/GMT{-hour:+d}" if hour else "Etc/GMT"
    configs: dict[str, dict[str, Any]] = {
        name: {"cron": "* * * * *", "missed": "all"} for name in EVERY_MINUTE
    }
    for missed, name in MORNING.items():
        configs[name] = {"cron": "* 6-10 * * *", "timezone": zone, "missed": missed}
    ids = []
    for name, config in configs.items():
        steps = [say("told", "{{ trigger.scheduled_for }}")]
        trigger = {"type": "schedule", "config": config}
        definition = {"schema": 1, "name": name, "trigger": trigger, "steps": steps}
        workflow = insist(api, "/api/v1/workflows", definition)
        insist(api, f"/api/v1/workflows/{workflow['id']}/publish")
        ids.append(workflow["id"])
    return ids


def pause(api: Api, ids: list[str]) -> None:
    """Nothing more is due from now on."""
    for workflow_id in ids:
        insist(api, f"/api/v1/workflows/{workflow_id}/pause")


def fall_behind(stack: Stack, name: str, minutes: int) -> bool:
    """As if it had been published so much earlier and nobody had looked since. What fired before is due again."""
    return bool(stack.ask(FALL_BEHIND, minutes, minutes, minutes, name))


def contradictions(stack: Stack) -> dict[str, list[str]]:
    """What is wrong with the ticks, by rule. True at any moment but for the runs, which come a little later."""
    found = {
        "an instant that was due and never fired": stack.ask(MISSING, list(EVERY_MINUTE)),
        "two ticks of one instant": stack.ask(DOUBLE),
        "a tick without exactly one first run, or an event without its tick": stack.ask(UNEVEN),
        "a tick at what is no instant": stack.ask(UNKNOWN),
    }
    return {rule: [str(row[0]) for row in rows] for rule, rows in found.items() if rows}


def ticks_of(stack: Stack, name: str) -> int:
    return int(stack.ask(TICKS, name)[0][0])


def lateness(stack: Stack) -> str:
    number, p50, p99, most = stack.ask(LATENESS)[0]
    return f"{number} in their minute · p50 {p50:.3f} s · p99 {p99:.3f} s · max {most:.3f} s late"
