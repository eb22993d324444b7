"""What publishing, pausing, resuming and archiving do to a schedule, and who is rung when one is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F

from executions import sweeper
from lightfield.celery import SWEEP_KEPT_SECONDS, app
from lightfield.kernel.errors import RequestRefused
from tests.bellboy import Bellboy
from tests.clockwork import EVERY_MINUTE, a_schedule, an_overdue, trigger_of
from tests.factories import BY, WEBHOOK, a_published_workflow, a_workflow
from triggers import tasks, ticking
from triggers.models import Tick, Trigger
from workflows import services

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
DAILY = {"type": "schedule", "config": {"every": "day", "at": "09:00", "timezone": "Europe/Berlin"}}


def edit(trigger: Trigger, /, **changes: Any) -> None:
    services.update_draft(workflow_id=trigger.workflow_id, changes=changes, by=BY)


def publish(trigger: Trigger) -> bool:
    return services.publish(workflow_id=trigger.workflow_id, by=BY)[1]


def cursor_of(trigger: Trigger) -> tuple[Any, ...]:
    trigger.refresh_from_db()
    return trigger.scheduled_from, trigger.settled_until, trigger.next_due_at


def is_now(instant: datetime | None) -> bool:
    return instant is not None and abs(datetime.now(UTC) - instant) < timedelta(seconds=20)


def test_given_a_schedule_when_published_then_it_holds_from_now_on():
    trigger = a_schedule(EVERY_MINUTE)

    scheduled_from, settled_until, next_due_at = cursor_of(trigger)
    assert is_now(settled_until)
    assert scheduled_from == settled_until
    assert timedelta(0) < next_due_at - settled_until <= timedelta(minutes=1)
    assert next_due_at.second == 0


def test_given_another_schedule_when_published_then_it_holds_from_now_on_and_what_was_missed_is_gone():
    trigger = an_overdue()
    edit(trigger, trigger=DAILY)

    assert publish(trigger)

    scheduled_from, settled_until, next_due_at = cursor_of(trigger)
    assert is_now(settled_until)
    assert scheduled_from == settled_until
    assert next_due_at > settled_until
    assert ticking.fire_due() == 0


def test_given_other_steps_when_published_then_the_schedule_goes_on_and_what_is_due_still_fires():
    trigger = an_overdue()
    before = cursor_of(trigger)
    edit(trigger, steps=[{"key": "other", "type": "log", "config": {"message": "2"}}])

    assert publish(trigger)

    assert cursor_of(trigger) == before
    assert ticking.fire_due() == 1
    trigger.workflow.refresh_from_db()
    assert Tick.objects.get().event.version_id == trigger.workflow.active_version_id


def test_given_nothing_changed_when_published_then_the_cursor_is_left_alone():
    trigger = an_overdue()
    before = cursor_of(trigger)

    assert not publish(trigger)

    assert cursor_of(trigger) == before


@pytest.mark.parametrize("deed", [services.resume, services.publish])
def test_given_a_pause_when_it_goes_on_then_nothing_that_went_by_is_caught_up(deed: Any):
    trigger = a_schedule({"cron": "* * * * *", "missed": "all"})
    services.pause(workflow_id=trigger.workflow_id, by=BY)
    assert cursor_of(trigger)[2] is None
    Trigger.objects.update(settled_until=F("settled_until") - HOUR, scheduled_from=F("scheduled_from") - HOUR)

    deed(workflow_id=trigger.workflow_id, by=BY)

    scheduled_from, settled_until, next_due_at = cursor_of(trigger)
    assert is_now(settled_until)
    assert scheduled_from == settled_until
    assert next_due_at > settled_until
    assert ticking.fire_due() == 0


def test_given_a_pause_when_other_steps_are_published_then_nothing_that_went_by_is_caught_up():
    trigger = a_schedule({"cron": "* * * * *", "missed": "all"})
    services.pause(workflow_id=trigger.workflow_id, by=BY)
    Trigger.objects.update(settled_until=F("settled_until") - HOUR)
    edit(trigger, steps=[{"key": "other", "type": "log", "config": {"message": "2"}}])

    assert publish(trigger)

    assert is_now(cursor_of(trigger)[1])
    assert ticking.fire_due() == 0


@pytest.mark.parametrize("deed", [services.pause, services.archive])
def test_given_a_pause_or_the_end_then_what_is_due_does_not_fire(deed: Any):
    trigger = an_overdue()

    deed(workflow_id=trigger.workflow_id, by=BY)

    assert cursor_of(trigger)[2] is None
    assert ticking.fire_due() == 0
    assert Tick.objects.count() == 0


def test_given_another_kind_when_published_then_the_cursor_is_gone_and_comes_back_with_a_schedule():
    trigger = an_overdue()
    ticking.fire_due()
    edit(trigger, trigger=WEBHOOK)

    publish(trigger)

    assert cursor_of(trigger) == (None, None, None)
    assert ticking.fire_due() == 0
    edit(trigger, trigger=DAILY)
    publish(trigger)
    assert is_now(cursor_of(trigger)[1])
    assert Tick.objects.filter(trigger=trigger).count() == 1


@pytest.mark.parametrize("deed", [services.pause, services.resume])
def test_other_kinds_have_no_cursor_whatever_is_done_to_them(deed: Any):
    workflow = a_published_workflow()
    if deed is services.resume:
        services.pause(workflow_id=workflow.pk, by=BY)

    deed(workflow_id=workflow.pk, by=BY)

    assert cursor_of(trigger_of(workflow)) == (None, None, None)


def test_given_a_schedule_that_cannot_be_then_it_is_not_published_and_each_problem_is_told():
    bad = {"type": "schedule", "config": {"cron": "61 * * * *", "timezone": "Mars/Olympus"}}
    workflow = a_workflow(trigger=bad)

    with pytest.raises(RequestRefused) as refused:
        services.publish(workflow_id=workflow.pk, by=BY)

    assert [(problem.pointer, problem.code) for problem in refused.value.problems] == [
        ("/trigger/config/cron", "schedule.invalid_cron"),
        ("/trigger/config/timezone", "schedule.unknown_timezone"),
    ]
    assert cursor_of(trigger_of(workflow)) == (None, None, None)


# --- who rings --------------------------------------------------------------------------------------


def test_given_a_schedule_that_nobody_was_rung_for_when_swept_then_it_is_rung_for_and_not_fired(
    bellboy: Bellboy,
):
    an_overdue()

    assert sweeper.sweep().has_ticks_due
    assert [bell.task for bell in bellboy.rung] == ["triggers.fire_ticks"]
    assert Tick.objects.count() == 0

    bellboy.answer_all(but=lambda bell: bell.task == "executions.dispatch_shard")
    assert Tick.objects.count() == 1
    assert not sweeper.sweep().has_ticks_due


def test_given_nothing_due_when_swept_then_nobody_is_rung_for_a_schedule(bellboy: Bellboy):
    a_schedule({"every": "day", "at": "09:00"})

    assert not sweeper.sweep().has_ticks_due
    assert bellboy.rung == []


def test_beat_rings_every_second_on_the_fast_queue_and_its_message_waits_behind_a_backlog():
    entry = app.conf.beat_schedule["lightfield: ticks"]

    assert entry["task"] == tasks.fire_ticks.name
    assert entry["schedule"] == timedelta(seconds=1)
    assert entry["options"] == {"queue": "fast", "expire_seconds": SWEEP_KEPT_SECONDS}
