"""Outcomes of steps and ends of runs: the statements of `executions.settling` and `executions.ending`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from executions import completing, ending, settling
from executions.states import LIVE_RUN, LIVE_STEP
from lightfield.kernel.errors import LostRace
from tests.simulation.moving import in_flight, on_the_way, waits_in
from tests.simulation.rows import Attempt, Effect, Run, Step
from tests.simulation.statements import Found, Params, answers
from tests.simulation.tables import Tables


@answers(settling.SETTLE)
def settle(tables: Tables, p: Params) -> Found:
    lane_stands = p["lane"] != "fast" and _lane_stands(tables, p["lane"])
    return [_settle(tables, p, goes_on=False, lane_stands=lane_stands)]


def _settle(tables: Tables, p: Params, *, goes_on: bool, lane_stands: bool) -> tuple[Any, ...]:
    run, step = tables.runs.get(p["run_id"]), tables.steps.get(p["step_run_id"])
    if run is None or step is None or step.run_id != run.id or not _may_settle(tables, run, step, p):
        raise LostRace
    attempt = _to_close(tables, step, p)
    effects = [e for e in tables.effects_of(step) if e.status == "intent"] if p["effect"] else []
    if p["outcome"] is not None and attempt is None and not p["opens"]:
        raise LostRace
    if p["effect"] == "done" and len(effects) != 1:
        raise LostRace
    decision = {effect.key: _decision(tables, effect, p) for effect in effects}
    at = _write_run(tables, run, p, entries=len(p["entries"]) + goes_on)
    _write_step(tables, step, p, at)
    _write_attempt(tables, step, attempt, p, at)
    for effect in effects:
        tables.change(effect, decided_at=at, answer=p["answer"], status=decision[effect.key])
    following = _write_next(tables, run, step, p, at, goes_on=goes_on) if p["next_key"] else None
    _write_skipped(tables, run, p, at)
    _tell(tables, run, step, following if goes_on else None, p, at)
    to_admit = following is not None and following.status == "ready" and p["next_lane"] == p["lane"]
    found = (following.id, following.status) if following else (None, None)
    return 1, *found, step.due_at, lane_stands or to_admit


@answers(completing.COMPLETE, completing.COMPLETE_SEVERAL)
def complete(tables: Tables, p: Params) -> Found:
    """Each as `settle` would, in the order of the runs; one that does not fit undoes all of them. Nobody locks here."""
    lane_stands = _lane_stands(tables, p["lane"])
    rivals = {row["id"]: _has_rivals(tables, p["lane"], row["workflow_id"]) for row in p["completions"]}
    found = []
    for row in sorted(p["completions"], key=lambda row: str(row["run_id"])):
        is_last = row["run_status"] == "completed"
        plain = {**_PLAIN, **p, **row, "step_run_id": row["id"], "run_is_final": is_last}
        goes_on = row["may_continue"] and not rivals[row["id"]]
        _, following, status, _, to_admit = _settle(tables, plain, goes_on=goes_on, lane_stands=False)
        is_intended = goes_on and row["intent"] is not None and following is not None
        kept = json.dumps(row["intent"]["request"]) if is_intended else None
        found.append((1, row["id"], following, status, lane_stands or to_admit, kept))
    return found


# What the statement for plain successes does not say, because it is always so.
_PLAIN: Params = {
    "was": "running",
    "status": "completed",
    "outcome": "ok",
    "effect": "done",
    "may_have_happened": False,
    "delay_seconds": None,
    "error_code": None,
    "error": None,
    "run_error_code": None,
    "run_error": None,
    "fence_raise": 0,
    "opens": False,
    "starts": False,
    "was_held": False,
    "held_host": None,
    "was_lost": False,
    "was_lost_alone": False,
    "keeps_lease": False,
    "is_final": True,
    "skipped": [],
    "intent": None,
}


def _may_settle(tables: Tables, run: Run, step: Step, p: Params) -> bool:
    same_fence = step.fence == p["fence"] or "no fence guard" in tables.planted
    same_status = step.status == p["was"] or "no status guard" in tables.planted
    return run.status in LIVE_RUN and same_fence and same_status


def _to_close(tables: Tables, step: Step, p: Params) -> Attempt | None:
    last = tables.last_attempt(step)
    if p["opens"] or p["outcome"] is None or last is None or last.outcome is not None:
        return None
    return last if last.fence == p["fence"] or "no fence guard" in tables.planted else None


def _lane_stands(tables: Tables, lane: str) -> bool:
    waits = any(waits_in(tables, step, lane) for step in tables.live.values())
    return waits and not on_the_way(tables, lane)


def _has_rivals(tables: Tables, lane: str, workflow_id: str) -> bool:
    """Does a workflow wait that has less in flight than this one, and may have more?"""
    busy, share = in_flight(tables, lane), tables.lanes[lane].per_workflow
    waiting = {s.workflow_id for s in tables.live.values() if waits_in(tables, s, lane)} - {workflow_id}
    own = {one: tables.flows[one].concurrency for one in waiting}
    others = [in_flight(tables, name) for name in tables.lanes if name != lane]
    left = {one: limit - sum(o[one] for o in others) for one, limit in own.items() if limit is not None}
    most = {one: min(share, left.get(one, share)) for one in waiting}
    return any(busy[one] < busy[workflow_id] and busy[one] < most[one] for one in waiting)


def _decision(tables: Tables, effect: Effect, p: Params) -> str:
    if p["effect"] == "done":
        return "done"
    tried = tables.attempts[effect.step_run_id]
    may_have = p["may_have_happened"] or any(
        a.outcome == "unknown" or (a.outcome == "lost" and a.intent_at is not None) for a in tried
    )
    kept = (tables.runs[effect.scope].replay_of_id or "", effect.key) in tables.effects
    return "unknown" if may_have or kept else "abandoned"


def _write_run(tables: Tables, run: Run, p: Params, *, entries: int) -> datetime:
    at = max(run.last_at, tables.now())
    tables.change(
        run,
        seq=run.seq + entries,
        status=p["run_status"],
        last_at=at,
        started_at=(run.started_at or at) if p["starts"] else run.started_at,
        finished_at=at if p["run_is_final"] else None,
        error_code=p["run_error_code"],
        error=p["run_error"],
    )
    return at


def _write_step(tables: Tables, step: Step, p: Params, at: datetime) -> None:
    delay, status = p["delay_seconds"], p["status"]
    if status == "cancelled" and "cancel leaves the step" in tables.planted:
        return
    if status == "waiting" and step.lane != "fast" and "retry keeps its slot" in tables.planted:
        status = "queued"
    tables.change(
        step,
        status=status,
        fence=step.fence + p["fence_raise"],
        attempts=step.attempts + p["opens"],
        held=step.held + p["was_held"],
        held_host=p["held_host"],
        lost=step.lost + p["was_lost"],
        lost_alone=step.lost_alone + p["was_lost_alone"],
        quarantined=False,
        output=p["output"],
        error_code=p["error_code"],
        error=p["error"],
        due_at=step.due_at if delay is None else at + timedelta(seconds=delay),
        started_at=(step.started_at or at) if p["opens"] else step.started_at,
        finished_at=at if p["is_final"] else None,
        lease_expires_at=step.lease_expires_at if p["keeps_lease"] else None,
        owner="",
        rings=0,
        rung_at=None,
    )


def _write_attempt(tables: Tables, step: Step, attempt: Attempt | None, p: Params, at: datetime) -> None:
    ends = {k: p[k] for k in ("outcome", "error_code", "error")} | {"finished_at": at}
    if attempt is not None:
        tables.change(attempt, **ends)
    elif p["opens"]:
        tables.add_attempt(Attempt(step.id, step.attempts, step.fence, p["worker"], False, at, **ends))


def _write_next(
    tables: Tables, run: Run, step: Step, p: Params, at: datetime, *, goes_on: bool
) -> Step | None:
    if "outcome without follow-up" in tables.planted:
        return None
    following = tables.add_step(
        Step(
            id=tables.new_id(),
            run_id=run.id,
            workflow_id=run.workflow_id,
            position=step.position + 1,
            key=p["next_key"],
            type=p["next_type"],
            lane=p["next_lane"],
            max_attempts=p["next_max_attempts"],
            status="running" if goes_on else "ready",
            fence=int(goes_on),
            attempts=int(goes_on),
            lease_expires_at=tables.now() + timedelta(seconds=p["lease"]) if goes_on else None,
            owner=p["owner"] if goes_on else "",
            due_at=at,
            started_at=at if goes_on else None,
        )
    )
    if goes_on:
        intent = p["intent"]
        intent_at = at if intent else None
        tables.add_attempt(Attempt(following.id, 1, 1, p["worker"], False, at, intent_at=intent_at))
        if intent:
            tables.add_effect(
                Effect(
                    id=tables.new_id(),
                    scope=run.id,
                    key=intent["key"],
                    step_run_id=following.id,
                    fence=1,
                    request=intent["request"],
                    request_digest=bytes.fromhex(intent["digest"]),
                    created_at=at,
                )
            )
    return following


def _write_skipped(tables: Tables, run: Run, p: Params, at: datetime) -> None:
    for plan in p["skipped"]:
        columns = {name: plan[name] for name in ("position", "key", "type", "lane", "max_attempts")}
        tables.add_step(
            Step(
                id=tables.new_id(),
                run_id=run.id,
                workflow_id=run.workflow_id,
                status="skipped",
                due_at=at,
                finished_at=at,
                **columns,
            )
        )


def _tell(tables: Tables, run: Run, step: Step, following: Step | None, p: Params, at: datetime) -> None:
    first = run.seq - len(p["entries"]) - (following is not None)
    for place, entry in enumerate(p["entries"], start=1):
        metadata = dict(entry["metadata"])
        if entry["type"] in ("step.waiting", "step.retrying"):
            metadata["due_at"] = step.due_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        tables.tell(
            run,
            seq=first + place,
            type=entry["type"],
            at=at,
            step_key=entry["step"],
            attempt=entry["attempt"],
            from_status=entry["from"],
            to_status=entry["to"],
            fence=step.fence if entry["attempt"] is not None else None,
            metadata=metadata,
        )
    if following is not None:
        facts = {"step_key": following.key, "attempt": 1, "fence": 1}
        tables.tell(
            run, seq=run.seq, type="step.started", at=at, from_status="ready", to_status="running", **facts
        )


# --- ends from outside ------------------------------------------------------------------------------


@answers(ending.LOCK_RUN)
def lock_run(tables: Tables, p: Params) -> Found:
    run = tables.runs.get(p["run_id"])
    return [(run.status, run.deadline_at < tables.now())] if run else []


@answers(ending.LOCK_STEP)
def lock_step(tables: Tables, p: Params) -> Found:
    return [(step.id,) for step in tables.steps_of[p["run_id"]] if step.status in LIVE_STEP]


@answers(ending.OPEN_ATTEMPT)
def open_attempt(tables: Tables, p: Params) -> Found:
    step = tables.steps[p["step_run_id"]]
    last = tables.last_attempt(step)
    is_open = last is not None and last.outcome is None
    lease = step.lease_expires_at
    is_held = step.status == "running" and lease is not None and lease > tables.now()
    if "cancel decides a live effect" in tables.planted:
        is_held = False
    return [(is_held, (last is not None and last.intent_at is not None) if is_open else None)]


@answers(ending.LATE_TRUTH)
def late_truth(tables: Tables, p: Params) -> Found:
    step = tables.steps[p["step_run_id"]]
    told = [
        effect
        for effect in tables.effects_of(step)
        if effect.fence == p["fence"] and effect.status == "intent" and step.status in ("cancelled", "failed")
    ]
    for effect in told:
        tables.change(effect, status="done", answer=p["answer"], decided_at=tables.now())
    return [(effect.id,) for effect in told]
