"""Capture, dispatch and replay: the statements of `triggers.outbox`, `executions.dispatcher` and `services`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from executions import dispatcher, services
from tests.simulation.rows import Effect, Event, Flow, Run, Step
from tests.simulation.statements import Found, Params, answers
from tests.simulation.tables import Tables
from triggers import outbox_statements


@answers(outbox_statements.CAPTURE_WEBHOOK)
def capture_webhook(tables: Tables, p: Params) -> Found:
    """The token of a simulated workflow is its own id."""
    flow = tables.flows.get(p["token_hash"])
    if flow is None:
        return []
    if flow.status != "active":
        return [(flow.trigger_id, flow.shard, None, flow.status)]
    event_id, key = str(p["id"]), p["key"]
    is_known = event_id in tables.events or any(
        e.trigger_id == flow.trigger_id
        and e.source == p["source"]
        and key is not None
        and e.idempotency_key == key
        for e in tables.events.values()
    )
    if is_known:
        return [(flow.trigger_id, flow.shard, None, None)]
    tables.add_event(
        Event(
            id=event_id,
            trigger_id=flow.trigger_id,
            workflow_id=flow.id,
            version_id=flow.version_id,
            source=p["source"],
            idempotency_key=key,
            payload=p["payload"],
            shard=flow.shard,
            trace_id=p["trace_id"],
            captured_at=tables.now(),
            body_digest=p["digest"],
            depth=p["depth"],
        )
    )
    return [(flow.trigger_id, flow.shard, event_id, None)]


@answers(outbox_statements.WINNER)
def winner(tables: Tables, p: Params) -> Found:
    return [
        (
            UUID(event.id),
            event.body_digest == p["digest"] or json.loads(event.payload) == json.loads(p["payload"]),
        )
        for event in tables.events.values()
        if (event.trigger_id, event.source, event.idempotency_key) == (p["trigger_id"], p["source"], p["key"])
    ]


@answers(outbox_statements.ALREADY_THERE)
def already_there(tables: Tables, p: Params) -> Found:
    event = tables.events.get(str(p["id"]))
    return [(UUID(event.id), True)] if event else []


# --- dispatch ---------------------------------------------------------------------------------------


@answers(dispatcher.PICK + dispatcher.DISPATCH)
def dispatch(tables: Tables, p: Params) -> Found:
    return _dispatch(tables, p, _picked(tables, p["shard"], p["batch"]))


@answers(dispatcher.ONE + dispatcher.DISPATCH)
def dispatch_one(tables: Tables, p: Params) -> Found:
    event = tables.events.get(p["event_id"])
    return _dispatch(tables, p, [event] if event else [])


@answers(dispatcher.PICKED)
def picked(tables: Tables, p: Params) -> Found:
    return [(event.id,) for event in _picked(tables, p["shard"], p["batch"])]


def _picked(tables: Tables, shard: int, batch: int) -> list[Event]:
    """In turn over the workflows, each one's oldest first."""
    waiting = sorted(
        (e for e in tables.events.values() if e.shard == shard and _is_pending(tables, e)),
        key=lambda event: event.id,
    )
    by_workflow: dict[str, list[Event]] = {}
    for event in waiting:
        by_workflow.setdefault(event.workflow_id, []).append(event)
    turns = zip_longest(*by_workflow.values())
    return [event for turn in turns for event in sorted(filter(None, turn), key=lambda e: e.id)][:batch]


def _is_pending(tables: Tables, event: Event) -> bool:
    return event.status == "pending" or "dispatches twice" in tables.planted


def _dispatch(tables: Tables, p: Params, events: list[Event]) -> Found:
    taken = sorted((e for e in events if _is_pending(tables, e)), key=lambda event: event.id)
    begun: list[Step] = []
    for event in taken:
        flow = tables.versions[event.version_id]
        code = _ignored_as(tables, flow, event, p["max_depth"])
        status = "dispatched" if code is None else "ignored"
        tables.change(event, status=status, error_code=code, decided_at=tables.now())
        if code is None:
            begun.append(_begin(tables, event, flow))
    fast = [step.run_id for step in begun if step.lane == "fast"]
    return [(len(events), len(taken), fast, sorted({s.lane for s in begun if s.lane != "fast"}))]


def _ignored_as(tables: Tables, flow: Flow, event: Event, max_depth: int) -> str | None:
    if flow.status == "archived":
        return "workflow.archived"
    cause = tables.runs.get(event.caused_by or "")
    if cause and cause.workflow_id == event.workflow_id and not flow.own_changes:
        return "trigger.own_change"
    return "run.depth_exceeded" if event.depth > max_depth else None


def _begin(tables: Tables, event: Event, flow: Flow) -> Step:
    if not flow.plan:
        raise IntegrityError("null value in column key")
    run = _new_run(tables, event.id, flow, event.trace_id, generation=1, at=tables.now())
    tables.tell(
        run,
        seq=1,
        type="run.created",
        at=run.created_at,
        to_status="pending",
        metadata={"event_id": event.id},
    )
    return tables.add_step(_new_step(tables, run, flow.plan[0], position=1, at=run.created_at))


def _new_run(
    tables: Tables, event_id: str, flow: Flow, trace_id: str, *, generation: int, at: datetime, **more: Any
) -> Run:
    run = Run(
        id=tables.new_uuid(),
        event_id=event_id,
        generation=generation,
        workflow_id=flow.id,
        version_id=flow.version_id,
        trace_id=trace_id,
        last_at=at,
        created_at=at,
        deadline_at=at + timedelta(seconds=flow.timeout_seconds),
        **more,
    )
    tables.add_run(run)
    return run


def _new_step(
    tables: Tables, run: Run, plan: dict[str, Any], *, position: int, at: datetime, **more: Any
) -> Step:
    columns = {name: plan[name] for name in ("key", "type", "lane", "max_attempts")}
    return Step(
        id=tables.new_id(),
        run_id=run.id,
        workflow_id=run.workflow_id,
        position=position,
        due_at=at,
        **{"status": "ready", **columns, **more},
    )


@answers(dispatcher.BLAME)
def blame(tables: Tables, p: Params) -> Found:
    event = tables.events.get(p["event_id"])
    if event is None or event.status != "pending":
        return []
    tables.change(event, tries=event.tries + 1)
    return [(event.tries,)]


@answers(dispatcher.POISON + " RETURNING id")
def poison(tables: Tables, p: Params) -> Found:
    event = tables.events.get(p["event_id"])
    if event is None or event.status != "pending" or event.tries < p["most"]:
        return []
    tables.change(event, status="poison", error_code="engine.dispatch_failed", decided_at=tables.now())
    return [(event.id,)]


# --- replay -----------------------------------------------------------------------------------------


@answers(services.LOCK)
def lock(tables: Tables, p: Params) -> Found:
    run = tables.runs.get(p["run_id"])
    return [(run.status, run.event_id, run.generation)] if run else []


@answers(services.REPLAY)
def replay(tables: Tables, p: Params) -> Found:
    old = tables.runs[p["run_id"]]
    generation = old.generation + 1
    if any(r.event_id == old.event_id and r.generation == generation for r in tables.runs.values()):
        return []
    flow, at = tables.versions[old.version_id], tables.now()
    run = _new_run(
        tables, old.event_id, flow, old.trace_id, generation=generation, at=at, replay_of_id=old.id
    )
    told = {"event_id": old.event_id, "replay_of": old.id}
    tables.tell(run, seq=1, type="run.created", at=at, to_status="pending", metadata=told)
    lane = None
    for step in sorted(tables.steps_of[old.id], key=lambda s: s.position):
        plan = {"key": step.key, "type": step.type, "lane": step.lane, "max_attempts": step.max_attempts}
        if step.status == "completed":
            done = {"status": "completed", "reused": True, "output": step.output}
            done |= {"started_at": step.started_at, "finished_at": step.finished_at}
            tables.add_step(_new_step(tables, run, plan, position=step.position, at=at, **done))
        elif step.status in ("failed", "cancelled"):
            again = tables.add_step(_new_step(tables, run, plan, position=step.position, at=at))
            lane = again.lane
            _keep_effects(tables, step, again, at)
    return [(run.id, lane)]


def _keep_effects(tables: Tables, step: Step, again: Step, at: datetime) -> None:
    """Under the same key, with the same frozen request, where the far side has or may have acted."""
    for effect in list(tables.effects_of(step)):
        code = str((effect.answer or {}).get("status_code") or "")
        acted = effect.status == "done" and len(code) == 3 and code.startswith("2")
        if acted or effect.status in ("unknown", "intent"):
            frozen = (effect.request, effect.request_digest)
            tables.add_effect(
                Effect(tables.new_id(), again.run_id, effect.key, again.id, 0, *frozen, created_at=at)
            )
