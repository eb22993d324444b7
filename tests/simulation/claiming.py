"""Claims, intents, renewals, and what is known of a step in hand: the statements of `executions.claims` and `cells`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from executions import cells, claims
from executions.states import LIVE_RUN
from tests.simulation.rows import Attempt, Effect, Run, Step
from tests.simulation.statements import Params, answers
from tests.simulation.tables import MICROSECOND, Tables

Found = list[tuple[Any, ...]]
_CONTEXT_OF = {
    "ids": "s.id = ANY(%(ids)s::bigint[])",
    "owned": "s.id = ANY(%(ids)s::bigint[]) AND s.status = 'running' AND s.owner = %(owner)s::text",
    "owned in run": "s.run_id = %(run_id)s::uuid AND s.status = 'running' AND s.owner = %(owner)s::text",
    "live": "s.run_id = %(run_id)s::uuid AND s.status IN ('ready', 'queued', 'running', 'waiting')",
}


def _asked(tables: Tables, ids: list[int]) -> list[Step]:
    return sorted((s for i in set(ids) if (s := tables.steps.get(i))), key=lambda step: step.run_id)


@answers(claims.LOCK_RUNS)
def lock_runs(tables: Tables, p: Params) -> Found:
    runs = {step.run_id for step in _asked(tables, p["ids"])}
    return [(run_id,) for run_id in sorted(runs) if tables.runs[run_id].status in LIVE_RUN]


def in_cell(tables: Tables, step: Step, now: datetime) -> bool:
    """claims.IN_CELL"""
    if step.status == "queued":
        return step.quarantined
    if step.status == "running":
        assert step.lease_expires_at is not None
        return step.lease_expires_at < now or "claims a live lease" in tables.planted
    waits_for_retry = step.status == "waiting" and step.error_code is not None
    return (
        step.lane == "fast"
        and step.rings >= 3
        and step.due_at <= now
        and (step.status == "ready" or waits_for_retry)
    )


def in_company(tables: Tables, step: Step, now: datetime) -> bool:
    """claims.IN_COMPANY"""
    if "claims ready steps" in tables.planted and step.status == "ready":
        return True
    return step.status == "queued" and not step.quarantined


@answers(claims.CLAIM.format(eligible=claims.IN_COMPANY))
def claim_in_company(tables: Tables, p: Params) -> Found:
    return _claim(tables, p, in_company)


@answers(claims.CLAIM.format(eligible=claims.IN_CELL))
def claim_in_cell(tables: Tables, p: Params) -> Found:
    return _claim(tables, p, in_cell)


def _claim(tables: Tables, p: Params, is_eligible: Any) -> Found:
    taken = []
    for step in _asked(tables, p["ids"]):
        used = step.attempts - step.lost - (step.status == "running")
        if used >= step.max_attempts and "claims beyond the limit" not in tables.planted:
            continue
        if step.run_id in p["locked"] and is_eligible(tables, step, tables.now()):
            _take(tables, step, tables.runs[step.run_id], p)
            taken.append((step.id,))
    return taken


def _take(tables: Tables, step: Step, run: Run, p: Params) -> None:
    was, tried, run_was = step.status, step.attempts, run.status
    old = _close_lost(tables, step) if was == "running" else None
    now = tables.now()
    to_blame = bool(old and old.alone and old.witnessed)
    tables.change(
        step,
        status="running",
        fence=step.fence + ("fence not raised" not in tables.planted),
        attempts=step.attempts + 1,
        lost=step.lost + (was == "running"),
        lost_alone=step.lost_alone + to_blame,
        quarantined=step.quarantined or was == "running",
        lease_expires_at=now + timedelta(seconds=p["lease"]),
        owner=p["owner"],
        rings=0,
        rung_at=None,
        started_at=step.started_at or now,
    )
    tables.add_attempt(Attempt(step.id, step.attempts, step.fence, p["worker"], p["alone"], now))
    told = 1 + (run_was == "pending") + (was == "running")
    at = max(run.last_at, now)
    tables.change(run, status="running", last_at=at, seq=run.seq + told, started_at=run.started_at or now)
    seq = run.seq - told + 1
    if run_was == "pending":
        tables.tell(run, seq=seq, type="run.started", at=at, from_status="pending", to_status="running")
        seq += 1
    if was == "running":
        lost = {"worker": old and old.worker, "may_have_sent": bool(old and old.intent_at)}
        facts = {"step_key": step.key, "attempt": tried, "fence": old and old.fence, "metadata": lost}
        tables.tell(run, seq=seq, type="step.lost", at=at, from_status="running", to_status="ready", **facts)
        seq += 1
    before = "ready" if was == "running" or tried == 0 else "waiting"
    facts = {"step_key": step.key, "attempt": step.attempts, "fence": step.fence}
    tables.tell(run, seq=seq, type="step.started", at=at, from_status=before, to_status="running", **facts)


def _close_lost(tables: Tables, step: Step) -> Attempt | None:
    old = tables.last_attempt(step)
    if old is None or old.outcome is not None:
        return None
    tables.change(old, outcome="lost", error_code="step.worker_lost", finished_at=tables.now())
    return old


# --- contexts ---------------------------------------------------------------------------------------


def _context(tables: Tables, steps: list[Step]) -> Found:
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
    )


@answers(claims.CONTEXT.format(which=_CONTEXT_OF["ids"]))
def context_of_ids(tables: Tables, p: Params) -> Found:
    return _context(tables, _asked(tables, p["ids"]))


@answers(claims.CONTEXT.format(which=_CONTEXT_OF["owned"]))
def context_of_owned(tables: Tables, p: Params) -> Found:
    steps = _asked(tables, p["ids"])
    return _context(tables, [s for s in steps if s.status == "running" and s.owner == p["owner"]])


@answers(claims.CONTEXT.format(which=_CONTEXT_OF["owned in run"]))
def context_of_owned_in_run(tables: Tables, p: Params) -> Found:
    steps = tables.steps_of.get(p["run_id"], [])
    return _context(tables, [s for s in steps if s.status == "running" and s.owner == p["owner"]])


@answers(claims.CONTEXT.format(which=_CONTEXT_OF["live"]))
def context_of_live(tables: Tables, p: Params) -> Found:
    return _context(tables, [s for s in tables.steps_of.get(p["run_id"], []) if s.id in tables.live])


# --- intents and leases -----------------------------------------------------------------------------


@answers(claims.INTENT)
def intent(tables: Tables, p: Params) -> Found:
    frozen: Found = []
    if "intent not committed" in tables.planted:
        return [(wanted["id"], json.dumps(wanted["request"])) for wanted in p["wanted"]]
    for wanted in sorted(p["wanted"], key=lambda w: w["run_id"]):
        step = tables.steps.get(wanted["id"])
        if step is None or not _holds(tables, step, wanted["fence"]):
            continue
        tables.change(step, lease_expires_at=tables.now() + timedelta(seconds=p["lease"]))
        attempt = next(
            (a for a in tables.attempts[step.id] if a.fence == wanted["fence"] and a.outcome is None), None
        )
        if attempt is not None and attempt.intent_at is None:
            tables.change(attempt, intent_at=tables.now())
        effect = _intended(tables, step, wanted)
        if attempt is not None and effect is not None:
            frozen.append((effect.step_run_id, json.dumps(effect.request)))
    return frozen


def _intended(tables: Tables, step: Step, wanted: dict[str, Any]) -> Effect | None:
    effect = tables.effects.get((wanted["run_id"], wanted["key"]))
    if effect is None:
        effect = Effect(
            id=tables.new_id(),
            scope=wanted["run_id"],
            key=wanted["key"],
            step_run_id=step.id,
            fence=wanted["fence"],
            request=wanted["request"],
            request_digest=bytes.fromhex(wanted["digest"]),
            created_at=tables.now(),
        )
        tables.add_effect(effect)
        return effect
    if effect.status != "intent":
        return None
    tables.change(effect, fence=wanted["fence"])
    return effect


def _holds(tables: Tables, step: Step, fence: int) -> bool:
    return step.status == "running" and (step.fence == fence or "no fence guard" in tables.planted)


@answers(claims.RENEW)
def renew(tables: Tables, p: Params) -> Found:
    ours = [tables.steps[h["id"]] for h in p["held"] if _holds(tables, tables.steps[h["id"]], h["fence"])]
    for step in ours:
        tables.change(step, lease_expires_at=tables.now() + timedelta(seconds=p["lease"]))
    return [(step.id,) for step in ours]


@answers(claims.STILL_OURS)
def still_ours(tables: Tables, p: Params) -> Found:
    return [(h["id"],) for h in p["held"] if _holds(tables, tables.steps[h["id"]], h["fence"])]


# --- cells ------------------------------------------------------------------------------------------


@answers(cells.DUE)
def due_in_cell(tables: Tables, p: Params) -> Found:
    steps = [s for i in set(p["ids"]) if (s := tables.steps.get(i)) and s.lane == p["lane"]]
    return [(step.id,) for step in sorted(steps, key=lambda s: s.id) if in_cell(tables, step, tables.now())]


@answers(cells.SUSPECTS)
def suspects(tables: Tables, p: Params) -> Found:
    return [
        _suspect(tables, step)
        for step in _asked(tables, p["ids"])
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
    for step in _asked(tables, p["ids"]):
        owner = p["owner"]
        if step.status != "running" or not (step.owner == owner or step.owner.startswith(f"{owner}#")):
            continue
        last = tables.last_attempt(step)
        if p["died"] and last is not None and last.outcome is None and last.fence == step.fence:
            tables.change(last, witnessed=True)
        tables.change(step, lease_expires_at=tables.now() - MICROSECOND)
        ended.append((step.id, step.lost))
    return ended
