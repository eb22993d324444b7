"""Steps that lost their worker: the statements of `executions.cells`."""

from __future__ import annotations

from typing import Any

from executions import cells
from tests.simulation.claiming import in_cell
from tests.simulation.contexts import asked_for
from tests.simulation.rows import Step
from tests.simulation.statements import Found, Params, answers
from tests.simulation.tables import MICROSECOND, Tables


@answers(cells.DUE)
def due_in_cell(tables: Tables, p: Params) -> Found:
    steps = [s for i in set(p["ids"]) if (s := tables.steps.get(i)) and s.lane == p["lane"]]
    return [(step.id,) for step in sorted(steps, key=lambda s: s.id) if in_cell(tables, step, tables.now())]


@answers(cells.SUSPECTS)
def suspects(tables: Tables, p: Params) -> Found:
    return [
        _suspect(tables, step)
        for step in asked_for(tables, p["ids"])
        if step.run_id in p["locked"] and in_cell(tables, step, tables.now())
    ]


def _suspect(tables: Tables, step: Step) -> tuple[Any, ...]:
    last = tables.last_attempt(step)
    effect = tables.intended(step)
    policy = (effect.request.get("on_unknown") if effect else None) or "retry_same_key"
    lost_lately = sum(
        a.number > step.attempts - 3 and a.alone and a.outcome in (None, "lost")
        for a in tables.attempts[step.id]
    )
    to_blame = bool(last and last.alone and last.witnessed)
    was_intended = last is not None and last.intent_at is not None
    counts = (step.lost, step.lost_alone, to_blame)
    return (step.id, step.status == "running", *counts, was_intended, policy, lost_lately)


@answers(cells.END_LEASES)
def end_leases(tables: Tables, p: Params) -> Found:
    ended = []
    for step in asked_for(tables, p["ids"]):
        owner = p["owner"]
        if step.status != "running" or not (step.owner == owner or step.owner.startswith(f"{owner}#")):
            continue
        last = tables.last_attempt(step)
        if p["died"] and last is not None and last.outcome is None and last.fence == step.fence:
            tables.change(last, witnessed=True)
        tables.change(step, lease_expires_at=tables.now() - MICROSECOND)
        ended.append((step.id, step.lost))
    return ended
