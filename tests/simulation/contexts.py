"""What is known of a step in hand: the statement `executions.claims.CONTEXT` in its four forms."""

from __future__ import annotations

import json
from typing import Any

from executions import claims
from tests.simulation.moving import waits_in
from tests.simulation.rows import Step
from tests.simulation.statements import Found, Params, answers
from tests.simulation.tables import Tables

_CONTEXT_OF = {
    "ids": "s.id = ANY(%(ids)s::bigint[])",
    "owned": "s.id = ANY(%(ids)s::bigint[]) AND s.status || '' = 'running' AND s.owner = %(owner)s::text",
    "owned in run": "s.run_id = %(run_id)s::uuid AND s.status || '' = 'running' AND s.owner = %(owner)s::text",
    "live": "s.run_id = %(run_id)s::uuid AND s.finished_at IS NULL",
}


def asked_for(tables: Tables, ids: list[int]) -> list[Step]:
    """The steps of these ids that exist, in the order in which runs are locked."""
    return sorted((s for i in set(ids) if (s := tables.steps.get(i))), key=lambda step: step.run_id)


def context(tables: Tables, steps: list[Step]) -> Found:
    return [_row(tables, step) for step in sorted(steps, key=lambda step: step.run_id)]


def _row(tables: Tables, step: Step) -> tuple[Any, ...]:
    run = tables.runs[step.run_id]
    flow = tables.flows[run.workflow_id]
    outputs = {s.key: s.output for s in tables.steps_of[run.id] if s.status == "completed"}
    effect = tables.intended(step)
    last = tables.last_attempt(step)
    where = (step.id, run.id, run.workflow_id, run.version_id, step.position, step.key, step.type, step.lane)
    state = (step.status, step.fence, step.attempts, step.lost, step.max_attempts, run.trace_id, run.status)
    known = (tables.events[run.event_id].payload, flow.name, flow.version_number)
    done = json.dumps(outputs) if outputs else None
    request = (effect.key, json.dumps(effect.request)) if effect else (None, None)
    return (
        *where,
        *state,
        *known,
        done,
        *request,
        step.due_at,
        step.due_at <= tables.now(),
        last and last.outcome,
        step.lane != "fast"
        and any(waits_in(tables, other, step.lane) for other in tables.live.values() if other is not step),
        tables.events[run.event_id].depth,
        step.held,
        step.error_code,
        (tables.now() - step.started_at).total_seconds() if step.started_at else None,
        None,  # no host fails here
        run.replay_of_id is not None,
    )


@answers(claims.CONTEXT.format(which=_CONTEXT_OF["ids"]))
def context_of_ids(tables: Tables, p: Params) -> Found:
    return context(tables, asked_for(tables, p["ids"]))


@answers(claims.CONTEXT.format(which=_CONTEXT_OF["owned"]))
def context_of_owned(tables: Tables, p: Params) -> Found:
    steps = asked_for(tables, p["ids"])
    return context(tables, [s for s in steps if s.status == "running" and s.owner == p["owner"]])


@answers(claims.CONTEXT.format(which=_CONTEXT_OF["owned in run"]))
def context_of_owned_in_run(tables: Tables, p: Params) -> Found:
    steps = tables.steps_of.get(p["run_id"], [])
    return context(tables, [s for s in steps if s.status == "running" and s.owner == p["owner"]])


@answers(claims.CONTEXT.format(which=_CONTEXT_OF["live"]))
def context_of_live(tables: Tables, p: Params) -> Found:
    return context(tables, [s for s in tables.steps_of.get(p["run_id"], []) if s.id in tables.live])
