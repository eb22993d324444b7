"""Ticks beside what people do to their workflow at the same moment."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection, transaction

from lightfield.kernel.errors import LostRace
from tests.clockwork import an_overdue, dues_of, held_at_t1
from tests.concurrency import wait_until_blocked
from tests.factories import BY
from triggers import ticking
from triggers.models import OutboxEvent, Trigger
from workflows import services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def test_given_a_tick_under_way_when_its_workflow_is_paused_then_the_pause_waits_and_nothing_fires_after(
    at: dict[str, Any],
) -> None:
    trigger = an_overdue()
    with held_at_t1(at) as go_on:
        paused = threading.Thread(target=_pause, args=(trigger,))
        paused.start()
        wait_until_blocked()
        go_on.set()
        paused.join(20)

    trigger.refresh_from_db()
    assert trigger.next_due_at is None
    assert len(dues_of(trigger)) == 1
    assert ticking.fire_due() == 0


def _pause(trigger: Trigger) -> None:
    with suppress(LostRace):
        services.pause(workflow_id=trigger.workflow_id, by=BY)
    connection.close()


def test_given_a_pause_under_way_then_the_tick_passes_by() -> None:
    trigger = an_overdue()
    fired: list[int] = []

    def look() -> None:
        fired.append(ticking.fire_due())
        connection.close()

    with transaction.atomic():
        services.pause(workflow_id=trigger.workflow_id, by=BY)
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(20)

    assert fired == [0]
    assert ticking.fire_due() == 0


def test_given_a_version_published_while_a_tick_is_under_way_then_its_event_runs_on_the_version_before(
    at: dict[str, Any],
) -> None:
    trigger = an_overdue()
    before = trigger.workflow.active_version_id
    changed = {"steps": [{"key": "other", "type": "log", "config": {"message": "2"}}]}
    services.update_draft(workflow_id=trigger.workflow_id, changes=changed, by=BY)

    def publish() -> None:
        services.publish(workflow_id=trigger.workflow_id, by=BY)
        connection.close()

    with held_at_t1(at) as go_on:
        publishing = threading.Thread(target=publish)
        publishing.start()
        wait_until_blocked()
        go_on.set()
        publishing.join(20)

    assert OutboxEvent.objects.get().version_id == before
    trigger.workflow.refresh_from_db()
    assert trigger.workflow.active_version_id != before
