"""What a tick writes, how much of a downtime fires, and what is let go."""

from __future__ import annotations

from datetime import timedelta

import pytest

from executions.models import Run
from tests.bellboy import Bellboy
from tests.clockwork import (
    EVERY_MINUTE,
    HOUR,
    a_schedule,
    an_overdue,
    dues_of,
    fire_all,
    is_every_minute,
    set_back,
)
from tests.factories import a_published_workflow
from triggers import ticking
from triggers.models import OutboxEvent, Tick
from triggers.schedules.instants import spelled

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def test_what_is_due_fires_with_its_event_and_the_event_becomes_a_run(bellboy: Bellboy) -> None:
    trigger = set_back(a_schedule({"cron": "0 * * * *", "timezone": "Europe/Berlin"}), HOUR)

    assert ticking.fire_due() == 1
    bellboy.answer_all()

    tick = Tick.objects.select_related("event").get()
    event = tick.event
    assert (event.trigger_id, event.source, event.idempotency_key) == (
        trigger.pk,
        "schedule",
        spelled(tick.due_at),
    )
    assert event.payload == {
        "scheduled_for": spelled(tick.due_at),
        "fired_at": spelled(tick.fired_at),
        "timezone": "Europe/Berlin",
        "late_by_seconds": tick.late_by_seconds,
    }
    assert tick.late_by_seconds == round((tick.fired_at - tick.due_at).total_seconds(), 3)
    assert Run.objects.get(event=event).status == "completed"
    trigger.refresh_from_db()
    assert trigger.settled_until == tick.fired_at
    assert trigger.next_due_at is not None
    assert trigger.next_due_at > tick.fired_at


@pytest.mark.parametrize(("missed", "expected"), [("all", 300), ("latest", 1), ("none", 0)])
def test_given_300_instants_of_downtime_then_all_one_or_none_fire(missed: str, expected: int) -> None:
    trigger = an_overdue(missed)

    assert fire_all() == expected
    assert fire_all() == 0

    dues = dues_of(trigger)
    assert len(dues) == len(set(dues)) == OutboxEvent.objects.count() == expected
    assert not dues or is_every_minute(dues)
    assert all(tick.late_by_seconds >= 3600 for tick in Tick.objects.all())


def test_given_nothing_due_then_nothing_is_written() -> None:
    a_schedule()
    a_published_workflow()

    assert ticking.fire_due() == 0
    assert ticking.catch_up_next() is None


def test_what_is_let_go_is_counted_where_it_is_known() -> None:
    an_overdue()

    caught_up = ticking.catch_up_next()

    assert caught_up is not None
    assert (caught_up.fired, caught_up.let_go, caught_up.is_more) == (1, 299, False)


def test_given_a_year_without_a_look_then_counting_what_is_let_go_ends_early() -> None:
    set_back(a_schedule(EVERY_MINUTE), timedelta(days=365))

    caught_up = ticking.catch_up_next()

    assert caught_up is not None
    assert caught_up.let_go == ticking.MOST_COUNTED - 1
