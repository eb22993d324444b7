"""Wherever somebody dies, sleeps too long or comes a second time, an instant fires once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import F

from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.clockwork import (
    HOUR,
    SINCE_MIDNIGHT,
    a_schedule,
    an_overdue,
    dues_of,
    fire_all,
    held_at_t1,
    make_due,
    set_back,
)
from triggers import ticking
from triggers.models import OutboxEvent, Tick, Trigger

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


class Died(BaseException):
    """Stands for a process that ends: nobody catches it."""


def die() -> None:
    raise Died


def test_given_a_death_before_anything_is_written_then_the_next_look_fires(at: dict[str, Any]) -> None:
    trigger = an_overdue()
    at["CP-T1"] = die

    with pytest.raises(Died):
        ticking.fire_due()

    assert (Tick.objects.count(), OutboxEvent.objects.count()) == (0, 0)
    at.clear()
    assert ticking.fire_due() == 1
    assert len(dues_of(trigger)) == 1


def test_given_a_death_behind_the_commit_then_no_bell_was_rung_and_nothing_fires_again(
    at: dict[str, Any], bellboy: Bellboy
) -> None:
    an_overdue()
    at["CP-T2"] = die

    with pytest.raises(Died):
        ticking.fire_due()

    assert bellboy.rung == []
    at.clear()
    assert ticking.fire_due() == 0
    assert (Tick.objects.count(), OutboxEvent.objects.get().status) == (1, "pending")


def test_given_one_who_is_stopped_until_its_session_is_ended_then_it_writes_nothing_when_it_wakes(
    at: dict[str, Any],
) -> None:
    trigger = an_overdue()

    with held_at_t1(at) as zombie:
        sql.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND state = 'idle in transaction' AND pid <> pg_backend_pid()",
            {},
        )
        while not ticking.fire_due():  # its lock goes with its session
            pass
        zombie.set()

    assert [type(outcome) for outcome in zombie.outcome] == [OperationalError]  # type: ignore[attr-defined]
    trigger.refresh_from_db()
    assert trigger.failures == 0
    assert (Tick.objects.count(), OutboxEvent.objects.count()) == (1, 1)


def test_given_a_cursor_that_was_moved_meanwhile_then_nothing_of_it_is_written(at: dict[str, Any]) -> None:
    """Cannot be while the row is locked. Should the lock ever go, the cursor still tells."""
    trigger = an_overdue()
    at["CP-T1"] = lambda: Trigger.objects.update(settled_until=F("settled_until") + HOUR)

    assert ticking.fire_due() == 0
    assert (Tick.objects.count(), OutboxEvent.objects.count()) == (0, 0)
    trigger.refresh_from_db()
    assert trigger.failures == 0


def test_given_a_cursor_that_stands_too_early_then_what_has_fired_does_not_fire_again() -> None:
    trigger = an_overdue("all")
    fire_all()
    trigger.refresh_from_db()
    set_back(trigger, SINCE_MIDNIGHT)

    fire_all()

    assert (Tick.objects.count(), OutboxEvent.objects.count()) == (300, 300)
    trigger.refresh_from_db()
    assert trigger.failures == 0
    assert trigger.next_due_at is not None
    assert trigger.next_due_at > datetime.now(UTC)


def test_given_a_database_clock_set_back_then_nothing_fires_twice_and_the_cursor_stays() -> None:
    trigger = a_schedule()
    Trigger.objects.update(settled_until=F("settled_until") + HOUR)
    trigger = make_due(trigger)

    assert ticking.fire_due() == 0

    before = trigger.settled_until
    trigger.refresh_from_db()
    assert trigger.settled_until == before
    assert trigger.next_due_at is not None
    assert trigger.settled_until is not None
    assert trigger.next_due_at > trigger.settled_until
