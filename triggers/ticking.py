"""Ticks: whatever is due by the clock fires. Everybody who is rung comes through here, and any number may at once.

Per trigger one transaction (T14): the row is locked, the due instants are computed from what stands in it, and ticks,
events and the cursor are written together. Killed anywhere in it, nothing has happened, and the next who is rung does
it; killed behind it, everything has, and the sweeper rings for the events. Stopped in it for long, PostgreSQL ends the
transaction, and whoever was stopped writes nothing more. Should a cursor ever stand too early, the keys of the events
and ticks keep what has fired from firing again.

One trigger that cannot be caught up never stops the others: it is left alone for a while, and set aside after the third
failure.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction

from lightfield.kernel import bells, sql
from lightfield.kernel import traceparent as trace_context
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import LostRace
from triggers import cursors, outbox, renewing
from triggers.decisions import Verdict, note_on_commit
from triggers.kinds.schedule import Schedule as Kind
from triggers.kinds.schedule import late_by, output
from triggers.models import Trigger
from triggers.schedules import config as configs
from triggers.schedules import zones
from triggers.schedules.catching_up import CatchUp, Missed, catch_up, instants_within
from triggers.schedules.instants import Schedule, spelled
from workflows.models import WorkflowStatus

logger = logging.getLogger(__name__)

TURN_SECONDS = 0.5  # then it rings again: what else the queue holds must not wait for a thousand schedules
THREADS = 3  # of a process; mostly they wait for PostgreSQL. The fast worker's others have other things to do
MANY = 20  # after so many in one turn it rings, so that others help
MOST_COUNTED = 1_000  # instants that were let go are counted up to here, which takes 6 ms

# What newer time zone data say is due is left so long to those who have them. If nobody comes the release was taken
# back, and what is due fires while it is on time even for `none` (30 s).
NEWER_FIRST_SECONDS = 10

# The longest due first; in a round each once, so that one with many instants to catch up keeps nobody waiting. No lock
# on the key: events of the trigger, by hand for one, may be written meanwhile.
PICK = """
SELECT id FROM triggers_trigger
WHERE next_due_at <= statement_timestamp() AND id <> ALL(%(passed)s::bigint[])
  AND (zone_data <= %(zone_data)s::text
    OR next_due_at <= statement_timestamp() - make_interval(secs => %(newer_first)s::float8))
ORDER BY next_due_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
"""

# A second statement, which sees everything that was committed before the lock was had.
READ = """
SELECT t.kind, t.config, t.shard, t.scheduled_from, t.settled_until, t.next_due_at, t.zone_data, t.zone_offset,
  t.zone_since, t.failures, w.status, statement_timestamp()
FROM triggers_trigger t JOIN workflows_workflow w ON w.id = t.workflow_id WHERE t.id = %(id)s::bigint
"""

ADD_TICKS = """
INSERT INTO triggers_tick (trigger_id, due_at, fired_at, late_by_seconds, event_id)
SELECT %(trigger_id)s::bigint, due.at, %(now)s::timestamptz, due.late, due.event_id
FROM unnest(%(dues)s::timestamptz[], %(lates)s::float8[], %(events)s::uuid[]) AS due(at, late, event_id)
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class CaughtUp:
    """What became of one trigger's due instants."""

    trigger_id: int
    fired: int = 0
    let_go: int = 0  # by the trigger's policy, up to MOST_COUNTED
    is_more: bool = False  # due already, and left for the next transaction


class _Failed(Exception):
    """Catching up raised; its cause says what. Nothing was written."""

    def __init__(self, trigger: Trigger) -> None:
        super().__init__(f"trigger {trigger.pk}")
        self.trigger = trigger


_turns = threading.BoundedSemaphore(THREADS)


def fire_due() -> int:
    """Fire what is due, for half a second at most. Returns the number of ticks.

    None if enough threads of this process are at it.
    """
    if not _turns.acquire(blocking=False):
        return 0
    try:
        fired, is_done = _fire_in_rounds()
    finally:
        _turns.release()
    if not is_done:
        bells.ring_ticks(forced=True)
    return fired


def _fire_in_rounds() -> tuple[int, bool]:
    fired = looks = 0
    end = time.monotonic() + TURN_SECONDS
    passed: set[int] = set()
    is_more = False
    while time.monotonic() < end:
        caught_up = catch_up_next(passed)
        looks += 1
        if looks == MANY:
            bells.ring_ticks()
        if caught_up is not None:
            passed.add(caught_up.trigger_id)
            fired += caught_up.fired
            is_more |= caught_up.is_more
        elif is_more:
            passed.clear()
            is_more = False
        else:
            return fired, True
    return fired, False


def catch_up_next(passed: Collection[int] = ()) -> CaughtUp | None:
    """The trigger that is due the longest, except those passed by: one transaction. None: nothing is due."""
    try:
        return _catch_up_next(passed)
    except _Failed as failure:
        trigger = failure.trigger
        logger.exception("schedule_not_caught_up", extra={"trigger_id": trigger.pk})
        cursors.blame(trigger)
        return CaughtUp(trigger.pk)


@sql.retrying_conflicts
@transaction.atomic
def _catch_up_next(passed: Collection[int]) -> CaughtUp | None:
    found = sql.row(
        PICK,
        {"passed": sorted(passed), "zone_data": zones.version(), "newer_first": NEWER_FIRST_SECONDS},
    )
    if found is None:
        return None
    trigger, status, now = _read(found[0])
    try:
        return _catch_up(trigger, status=status, now=now)
    except (OperationalError, InterfaceError):
        raise  # the database is away or in conflict: the trigger is not to blame
    except LostRace:
        transaction.set_rollback(True)
        return CaughtUp(trigger.pk)  # its instants have fired
    except Exception as error:
        raise _Failed(trigger) from error


def _read(trigger_id: int) -> tuple[Trigger, str, datetime]:
    """The trigger with what a tick needs of it, its workflow's status, and the database's clock."""
    found = sql.row(READ, {"id": trigger_id})
    assert found is not None  # its row is locked
    *columns, status, now = found
    names = ("kind", "config", "shard", "scheduled_from", "settled_until", "next_due_at")
    row = dict(zip((*names, "zone_data", "zone_offset", "zone_since", "failures"), columns, strict=True))
    return Trigger(pk=trigger_id, **{**row, "config": json.loads(row["config"])}), status, now


def _catch_up(trigger: Trigger, *, status: str, now: datetime) -> CaughtUp:
    """Write what the trigger's policy wants fired, and move its cursor."""
    if trigger.kind != Kind.name or status != WorkflowStatus.ACTIVE or trigger.settled_until is None:
        cursors.stop(trigger)  # no release of ours leaves such a row; it would be picked again every second
        return CaughtUp(trigger.pk)
    schedule, missed = configs.read(trigger.config)
    if trigger.zone_data != zones.version():
        renewing.renew(trigger, schedule)
    plan = catch_up(schedule, missed, after=trigger.settled_until, now=now)
    crashpoint("CP-T1")
    transaction.on_commit(lambda: crashpoint("CP-T2"))  # before the events' own, which ring
    _fire(trigger, plan.fire, now=now)
    cursors.move(trigger, schedule, until=plan.settled_until, next_due_at=plan.next_due_at)
    caught_up = CaughtUp(
        trigger.pk,
        fired=len(plan.fire),
        let_go=0 if missed is Missed.ALL else _let_go(schedule, plan, after=trigger.settled_until),
        is_more=plan.next_due_at is not None and plan.next_due_at <= now,
    )
    if caught_up.let_go:
        note_on_commit(
            trigger_id=trigger.pk,
            verdict=Verdict.MISSED,
            subject=f"{caught_up.let_go} × instant",
            detail={
                "source": "schedule",
                "until": spelled(plan.settled_until),
                "missed": missed.value,
                "fired": caught_up.fired,
            },
            count=caught_up.let_go,
        )
        logger.info(
            "instants_let_go",
            extra={"trigger_id": trigger.pk, "let_go": caught_up.let_go, "fired": caught_up.fired},
        )
    return caught_up


def _fire(trigger: Trigger, dues: tuple[datetime, ...], *, now: datetime) -> None:
    """An event and a tick for each. What has fired before keeps its event and its tick."""
    if not dues:
        return
    ticks = {
        "trigger_id": trigger.pk,
        "now": now,
        "dues": list(dues),
        "lates": [late_by(due, now) for due in dues],
        "events": [_event_of(trigger, due, now) for due in dues],
    }
    sql.rows(ADD_TICKS, ticks)


def _event_of(trigger: Trigger, due: datetime, now: datetime) -> UUID:
    captured = outbox.append_event(
        trigger=trigger,
        source="schedule",
        payload=output(due, fired_at=now, timezone=trigger.config.get("timezone", "UTC")),
        idempotency_key=spelled(due),
        trace_id=trace_context.new_trace_id(),
    )
    return captured.event_id


def _let_go(schedule: Schedule, plan: CatchUp, *, after: datetime) -> int:
    """How many instants of the stretch just settled do not fire."""
    went_by = sum(1 for _ in islice(instants_within(schedule, after, plan.settled_until), MOST_COUNTED))
    return max(0, went_by - len(plan.fire))
