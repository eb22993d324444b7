"""Claims, intents and renewals: the statements of `executions.claims` that change something."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from executions import claims, intents, renewals
from executions.states import LIVE_RUN
from tests.simulation.contexts import asked_for, context
from tests.simulation.rows import Attempt, Effect, Run, Step
from tests.simulation.statements import Found, Params, answers
from tests.simulation.tables import Tables


@answers(claims.LOCK_RUNS)
def lock_runs(tables: Tables, p: Params) -> Found:
    runs = {step.run_id for step in asked_for(tables, p["ids"])}
    return [
        (run_id, tables.runs[run_id].status)
        for run_id in sorted(runs)
        if tables.runs[run_id].status in LIVE_RUN
    ]


@answers(claims.WAIT_FOR_RUNS)
def wait_for_runs(tables: Tables, p: Params) -> Found:
    """Nobody locks here."""
    return [(run_id,) for run_id in sorted({step.run_id for step in asked_for(tables, p["ids"])})]


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


@answers(claims.CLAIM_IN_COMPANY)
def claim_in_company(tables: Tables, p: Params) -> Found:
    return _claim(tables, p, [run_id for run_id, _ in lock_runs(tables, p)], in_company)


@answers(
    claims.CLAIM.format(
        locked=claims.LOCKED_BEFORE, eligible=claims.IN_CELL, context=claims.CONTEXT_OF_CLAIMED
    )
)
def claim_in_cell(tables: Tables, p: Params) -> Found:
    return _claim(tables, p, p["locked"], in_cell)


def _claim(tables: Tables, p: Params, locked: list[str], is_eligible: Any) -> Found:
    taken: list[Step] = []
    for step in asked_for(tables, p["ids"]):
        used = step.attempts - step.lost - step.held - (step.status == "running")
        if used >= step.max_attempts and "claims beyond the limit" not in tables.planted:
            continue
        if step.run_id in locked and is_eligible(tables, step, tables.now()):
            _take(tables, step, tables.runs[step.run_id], p)
            taken.append(step)
    return context(tables, taken)


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


# --- intents and leases -----------------------------------------------------------------------------


@answers(intents.INTENT)
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


@answers(renewals.RENEW)
def renew(tables: Tables, p: Params) -> Found:
    ours = [tables.steps[h["id"]] for h in p["held"] if _holds(tables, tables.steps[h["id"]], h["fence"])]
    for step in ours:
        tables.change(step, lease_expires_at=tables.now() + timedelta(seconds=p["lease"]))
    return [(step.id,) for step in ours]


@answers(renewals.STILL_OURS)
def still_ours(tables: Tables, p: Params) -> Found:
    return [(h["id"],) for h in p["held"] if _holds(tables, tables.steps[h["id"]], h["fence"])]
