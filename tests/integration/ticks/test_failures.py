"""A schedule that cannot be caught up is set aside and stops no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError

from tests.clockwork import LATER, a_schedule, an_overdue, dues_of, fire_all, make_due
from tests.factories import BY
from triggers import cursors, ticking
from triggers.models import Trigger
from workflows import services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def make_unreadable(trigger: Trigger) -> None:
    Trigger.objects.filter(pk=trigger.pk).update(config={"moon": "full"})


def test_given_a_trigger_that_cannot_be_caught_up_then_the_others_fire_and_it_is_set_aside_the_third_time() -> (
    None
):
    bad = an_overdue()
    make_unreadable(bad)
    good = an_overdue(by=LATER)

    assert ticking.fire_due() == 1
    assert len(dues_of(good)) == 1

    bad.refresh_from_db()
    assert (bad.failures, bad.error_code) == (1, None)
    assert bad.next_due_at is not None
    assert timedelta(0) < bad.next_due_at - datetime.now(UTC) <= timedelta(seconds=15)
    make_due(bad)
    ticking.fire_due()
    make_due(bad)
    ticking.fire_due()
    bad.refresh_from_db()
    assert (bad.failures, bad.error_code) == (3, "schedule.set_aside")
    assert bad.next_due_at is None
    assert dues_of(bad) == []


def test_given_a_config_that_can_be_read_again_in_time_then_nothing_is_lost() -> None:
    trigger = an_overdue("all")
    config = trigger.config
    make_unreadable(trigger)
    ticking.fire_due()

    Trigger.objects.update(config=config)
    make_due(trigger)
    fire_all()

    trigger.refresh_from_db()
    assert (trigger.failures, trigger.error_code) == (0, None)
    assert len(dues_of(trigger)) == 300


def test_given_a_trigger_set_aside_when_its_workflow_is_resumed_then_it_begins_anew() -> None:
    trigger = a_schedule()
    Trigger.objects.update(failures=3, error_code="schedule.set_aside", next_due_at=None)

    services.pause(workflow_id=trigger.workflow_id, by=BY)
    services.resume(workflow_id=trigger.workflow_id, by=BY)

    trigger.refresh_from_db()
    assert (trigger.failures, trigger.error_code) == (0, None)
    assert trigger.next_due_at is not None


def test_given_two_who_failed_at_once_then_it_counts_once(at: dict[str, Any]) -> None:
    trigger = an_overdue()
    make_unreadable(trigger)
    trigger.refresh_from_db()

    cursors.blame(trigger)
    cursors.blame(trigger)

    trigger.refresh_from_db()
    assert trigger.failures == 1


def test_given_a_database_that_goes_away_then_no_trigger_is_to_blame(at: dict[str, Any]) -> None:
    trigger = an_overdue()

    def go_away() -> None:
        raise OperationalError("gone")

    at["CP-T1"] = go_away
    with pytest.raises(OperationalError):
        ticking.fire_due()

    trigger.refresh_from_db()
    assert trigger.failures == 0
    at.clear()
    assert ticking.fire_due() == 1


@pytest.mark.parametrize("columns", [{"kind": "webhook"}, {"settled_until": None}])
def test_given_a_row_that_no_deed_of_ours_leaves_then_it_is_put_to_rest(columns: dict[str, Any]) -> None:
    trigger = make_due(a_schedule())
    Trigger.objects.update(**columns)

    assert ticking.fire_due() == 0

    trigger.refresh_from_db()
    assert trigger.next_due_at is None
