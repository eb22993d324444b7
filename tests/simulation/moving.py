"""Admission and the sweep: the statements of `executions.admission` and `executions.sweeper`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from executions import admission, sweeper
from executions.notices import outgoing
from executions.states import FINAL_STEP, LIVE_RUN
from tests.simulation.rows import Effect, Step
from tests.simulation.statements import Found, Params, answers
from tests.simulation.tables import BEGINNING, Tables

IN_FLIGHT = ("queued", "running")
WAITING = ("ready", "waiting")


@answers(admission.LOCK_LANE)
def lock_lane(tables: Tables, p: Params) -> Found:
    return [(1,)] if p["lane"] in tables.lanes else []


def in_flight(tables: Tables, lane: str) -> Counter[str]:
    """Steps of this lane in flight, by workflow."""
    return Counter(s.workflow_id for s in tables.live.values() if s.lane == lane and s.status in IN_FLIGHT)


def waits_in(tables: Tables, step: Step, lane: str) -> bool:
    return step.lane == lane and step.status in WAITING and step.due_at <= tables.now()


def on_the_way(tables: Tables, lane: str) -> int:
    """Queued steps whose message has not been rung again: some worker will take them."""
    return sum(
        s.lane == lane and s.status == "queued" and not s.rings and not s.quarantined
        for s in tables.live.values()
    )


@answers(admission.ADMIT)
def admit(tables: Tables, p: Params) -> Found:
    lane = tables.lanes.get(p["lane"])
    if lane is None:
        return []
    now, busy = tables.now(), in_flight(tables, lane.name)
    waiting = [s for s in tables.live.values() if s.lane == lane.name and s.status in WAITING]
    workflows = sorted({step.workflow_id for step in waiting})
    way, free = on_the_way(tables, lane.name), max(0, lane.width - busy.total())
    room = max(0, min(free, lane.most_queued - way if way * 2 <= lane.most_queued else 0))
    if "no window" in tables.planted:
        room = free = max(room, 2)
    share = 1 + 2 * room // max(1, len(workflows))
    candidates: list[tuple[int, datetime, int, Step]] = []
    for workflow_id in workflows:
        own = tables.flows[workflow_id].concurrency
        elsewhere = sum(in_flight(tables, name)[workflow_id] for name in tables.lanes if name != lane.name)
        most = min(lane.per_workflow if own is None else own - elsewhere, lane.per_workflow)
        due = sorted(
            (s for s in waiting if s.workflow_id == workflow_id and s.due_at <= now),
            key=lambda s: (s.due_at, s.id),
        )
        may_come = max(room, min(admission.FEW - busy[workflow_id], free))
        number = max(0, min(may_come, most - busy[workflow_id], share))
        candidates += [
            (busy[workflow_id] + place, s.due_at, s.id, s) for place, s in enumerate(due[:number], start=1)
        ]
    ordered = enumerate(sorted(candidates, key=lambda c: c[:3]), start=1)
    admitted = [
        (step, load <= admission.FEW)
        for place, (load, _, _, step) in ordered
        if place <= room or (load <= admission.FEW and place <= free)
    ]
    for step, _ in admitted:
        tables.change(step, status="queued", rung_at=tables.now(), rings=0)
    return [
        (s.id, s.lost, s.quarantined, s.attempts, s.key, is_new, s.workflow_id, room, share)
        for s, is_new in admitted
    ]


# --- the sweep --------------------------------------------------------------------------------------


@answers(sweeper.SHARDS)
def shards(tables: Tables, p: Params) -> Found:
    old = tables.now() - timedelta(seconds=1)
    return [
        (n,)
        for n in sorted(
            {e.shard for e in tables.events.values() if e.status == "pending" and e.captured_at < old}
        )
    ]


@answers(sweeper.CIRCUITS)
def circuits(tables: Tables, p: Params) -> Found:
    """No host fails here: what is held back is tested on PostgreSQL."""
    return []


@answers(sweeper.TICKS)
def ticks(tables: Tables, p: Params) -> Found:
    """No workflow of these worlds starts by the clock: ticks never touch what is simulated."""
    return [(False, False)]


@answers(sweeper.LANES)
def lanes(tables: Tables, p: Params) -> Found:
    if "sweep without ready steps" in tables.planted:
        return []
    now = tables.now()
    return [
        (lane.name,)
        for lane in tables.lanes.values()
        if in_flight(tables, lane.name).total() < lane.width
        and any(s.lane == lane.name and s.status in WAITING and s.due_at <= now for s in tables.live.values())
    ]


def _ring(tables: Tables, which: Callable[[Step, datetime], bool]) -> Found:
    now = tables.now()
    found = sorted(
        (s for s in tables.live.values() if which(s, now) and _is_ring_due(s, now)), key=lambda s: s.run_id
    )
    for step in found[: sweeper.AT_ONCE]:
        tables.change(step, rung_at=tables.now(), rings=min(step.rings + 1, 1000))
    return [
        (s.id, s.lost, s.quarantined, s.attempts, s.key, s.lane, s.run_id, s.rings, _sleeps(s))
        for s in found[: sweeper.AT_ONCE]
    ]


def _sleeps(step: Step) -> bool:
    return step.status == "waiting" and step.error_code is None


def _is_ring_due(step: Step, now: datetime) -> bool:
    base = sweeper.BASE_SECONDS_WHEN_LOST if step.status == "running" else sweeper.BASE_SECONDS
    distance = timedelta(seconds=min(60, base * 2 ** min(step.rings, 10)))
    return step.rung_at is None or step.rung_at < now - distance


@answers(sweeper.FAST)
def fast(tables: Tables, p: Params) -> Found:
    patience = {"ready": timedelta(seconds=1), "waiting": timedelta()}
    return _ring(
        tables,
        lambda s, now: s.lane == "fast" and s.status in WAITING and s.due_at <= now - patience[s.status],
    )


@answers(sweeper.QUEUED)
def queued(tables: Tables, p: Params) -> Found:
    return _ring(tables, lambda s, now: s.status == "queued")


@answers(sweeper.EXPIRED)
def expired(tables: Tables, p: Params) -> Found:
    margin = timedelta(seconds=p["margin"])
    if "sweep without expired leases" in tables.planted:
        return []
    return _ring(tables, lambda s, now: s.status == "running" and (s.lease_expires_at or now) < now - margin)


@answers(sweeper.OVERDUE)
def overdue(tables: Tables, p: Params) -> Found:
    now = tables.now()
    return [(r.id,) for r in tables.runs.values() if r.status in LIVE_RUN and r.deadline_at < now][:200]


def _undecided(tables: Tables, margin: float) -> list[Effect]:
    limit = tables.now() - timedelta(seconds=margin)

    def is_over(effect: Effect) -> bool:
        step = tables.steps[effect.step_run_id]
        return step.status in FINAL_STEP and (step.lease_expires_at or BEGINNING) < limit

    return [e for e in tables.effects.values() if e.status == "intent" and is_over(e)]


@answers(sweeper.UNDECIDED)
def undecided(tables: Tables, p: Params) -> Found:
    if "sweep without undecided effects" in tables.planted:
        return []
    return [(1,)] if _undecided(tables, p["margin"]) else []


@answers(sweeper.SETTLE_EFFECTS)
def settle_effects(tables: Tables, p: Params) -> Found:
    decided = _undecided(tables, p["margin"])
    for effect in decided:
        tables.change(effect, status="unknown", decided_at=tables.now())
    return [(effect.id,) for effect in decided]


@answers(outgoing.DUE)
def no_notices(tables: Tables, p: Params) -> Found:
    """No flow of the simulation tells anybody of its failures."""
    return [(False,)]
