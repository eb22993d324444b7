"""Schedules: one tick and one event for each instant, none of them missing, and every active schedule goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import F, QuerySet
from django.db.models.functions import Now

from executions.verifying.invariant import Invariant, Subject
from lightfield.kernel.errors import RequestRefused
from triggers.models import Tick, Trigger
from triggers.schedules import config as configs
from triggers.schedules.catching_up import ON_TIME, Missed, instants_within
from triggers.schedules.instants import Schedule, next_after, spelled
from workflows.models import WorkflowStatus

# How far back ticks are compared with the schedule: a day, and further where that has few instants. Time zone data
# that was replaced meanwhile may have moved those before.
WINDOWS = (timedelta(days=1), timedelta(days=40), timedelta(days=1500))
ENOUGH = 50
LATE = timedelta(minutes=1)  # beat rings every second


def _schedules() -> QuerySet[Trigger]:
    rows = Trigger.objects.filter(kind="schedule").annotate(status=F("workflow__status"), read_at=Now())
    return rows.only(
        "kind",
        "config",
        "workflow_id",
        "scheduled_from",
        "settled_until",
        "next_due_at",
        "zone_since",
        "error_code",
    )


def not_as_scheduled() -> Iterator[str]:
    """Instants without their tick, and ticks that no instant explains. Those of `none` may be let go at any time."""
    for trigger in _schedules().order_by("pk").iterator(chunk_size=200):
        if trigger.settled_until is None or trigger.scheduled_from is None:
            continue
        try:
            schedule, missed = configs.read(trigger.config)
        except RequestRefused:
            continue  # `schedules-go-on` tells
        # Where the clock was another one by the data of then, what fired before is no instant of today's.
        since = max(trigger.scheduled_from, trigger.zone_since or trigger.scheduled_from)
        after, due = _window(schedule, since, trigger.settled_until)
        ticks = Tick.objects.filter(trigger=trigger, due_at__gt=after, due_at__lte=trigger.settled_until)
        fired = {tick.due_at: tick for tick in ticks}
        wrong = set(fired) - set(due)
        if missed is Missed.ALL:
            wrong |= set(due) - set(fired)
        elif missed is Missed.LATEST:
            wrong |= set(due[-1:]) - set(fired)  # whatever was let go, something later fired in its place
        else:
            wrong |= {at for at, tick in fired.items() if tick.fired_at - at > ON_TIME}
        yield from (f"{trigger.workflow_id} {spelled(at)}" for at in sorted(wrong))


def _window(schedule: Schedule, first: datetime, last: datetime) -> tuple[datetime, list[datetime]]:
    """From where on it is looked at, and the instants since."""
    for length in WINDOWS:
        after = max(first, last - length)
        due = list(instants_within(schedule, after, last))
        if after == first or len(due) >= ENOUGH:
            break
    return after, due


def standing_still() -> Iterator[str]:
    """Active schedules that were set aside, cannot be read, are late or have no next instant; others that have one."""
    for trigger in _schedules().order_by("pk").iterator(chunk_size=200):
        is_active = trigger.status == WorkflowStatus.ACTIVE  # type: ignore[attr-defined]  # annotated
        if not _goes_on(trigger) if is_active else trigger.next_due_at is not None:
            yield str(trigger.workflow_id)


def _goes_on(trigger: Trigger) -> bool:
    if trigger.error_code or trigger.settled_until is None:
        return False
    try:
        schedule, _ = configs.read(trigger.config)
    except RequestRefused:
        return False
    if trigger.next_due_at is None:
        return next_after(schedule, trigger.settled_until) is None
    now: datetime = trigger.read_at  # type: ignore[attr-defined]  # annotated
    return now - trigger.next_due_at < LATE


INVARIANTS = (
    Invariant(
        name="tick-once",
        number="I25",
        subject=Subject.TICKS,
        says="A schedule has at most one tick of one instant.",
        broken="SELECT min(id) FROM triggers_tick GROUP BY trigger_id, due_at HAVING count(*) > 1",
    ),
    Invariant(
        name="tick-has-its-event",
        number="I25",
        subject=Subject.TICKS,
        says="A tick has an event of its own: of the same trigger, under the instant as its key, and with it as payload.",
        broken="""
            SELECT t.id FROM triggers_tick t LEFT JOIN triggers_outboxevent e ON e.id = t.event_id
              AND e.trigger_id = t.trigger_id AND e.source = 'schedule'
              AND e.idempotency_key = to_char(t.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
              AND e.payload->>'scheduled_for' = e.idempotency_key
            WHERE e.id IS NULL
            UNION ALL
            SELECT max(id) FROM triggers_tick GROUP BY event_id HAVING count(*) > 1""",
    ),
    Invariant(
        name="scheduled-event-has-tick",
        number="I25",
        subject=Subject.EVENTS,
        says="An event that a schedule fired has its tick.",
        broken="""
            SELECT e.id FROM triggers_outboxevent e LEFT JOIN triggers_tick t ON t.event_id = e.id
            WHERE e.source = 'schedule' AND t.id IS NULL""",
    ),
    Invariant(
        name="ticks-as-scheduled",
        number="I25",
        subject=Subject.TRIGGERS,
        says="Up to where a schedule is settled, its newest ticks are its instants: with `all` each, with `latest` the last "
        "and none but instants, with `none` no late one.",
        broken=not_as_scheduled,
    ),
    Invariant(
        name="schedules-go-on",
        subject=Subject.TRIGGERS,
        says="An active schedule has its next instant, not more than a minute ago, and is not set aside; others have none.",
        broken=standing_still,
    ),
)
