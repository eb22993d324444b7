"""Many processes at once, some still with older time zone data: the newer data win once, and every instant fires once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from executions.verifying.ticks import not_as_scheduled
from lightfield.kernel import sql
from tests.clockwork import HOUR, a_schedule, dues_of, held_at_t1, make_due
from tests.concurrency import race
from tests.factories import BY
from tests.zone_data import NEWER, OLDER, a_release, colleagues, installed, schedule_at
from triggers import cursors, renewing, ticking
from triggers.models import OutboxEvent, Tick, Trigger
from workflows import services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

DAY = timedelta(days=1)
WRITES = "SELECT id, xmin::text FROM triggers_trigger ORDER BY id"
EVERY_MINUTE = {"cron": "* * * * *", "timezone": "Test/Moved", "missed": "all"}


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    return a_release(tmp_path, OLDER, 1)


@pytest.fixture
def newer(tmp_path: Path, now: datetime) -> Path:
    """A month ago the clock has gone forward: everything is due an hour earlier."""
    return a_release(tmp_path, NEWER, 1, ((now - 30 * DAY, 2),))


def published_by(older: Path, config: dict[str, Any]) -> Trigger:
    with installed(older):
        return a_schedule(config)


def set_back(trigger: Trigger, by: timedelta) -> None:
    begin = F("settled_until") - by
    Trigger.objects.filter(pk=trigger.pk).update(
        settled_until=begin, scheduled_from=begin - timedelta(days=1)
    )


def reread(trigger: Trigger) -> Trigger:
    trigger.refresh_from_db()
    return trigger


def test_given_eight_who_renew_and_fire_at_once_then_every_instant_fires_once(
    older: Path, newer: Path
) -> None:
    triggers = [published_by(older, EVERY_MINUTE) for _ in range(4)]
    for trigger in triggers:
        set_back(trigger, 2 * HOUR)
        make_due(trigger)
    until = datetime.now(UTC)

    with installed(newer):
        race(*[renewing.renew_outdated, ticking.fire_due] * 4)
        while ticking.fire_due():
            pass
        assert list(not_as_scheduled()) == []

    for trigger in triggers:
        dues = [due for due in dues_of(trigger) if due <= until]
        assert len(dues) == 120
        assert dues == [dues[0] + timedelta(minutes=number) for number in range(120)]
    assert Tick.objects.count() == OutboxEvent.objects.count()


def test_given_one_who_renews_when_it_is_due_then_a_tick_passes_by_and_fires_what_was_renewed(
    older: Path, newer: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = published_by(older, schedule_at(now + 30 * timedelta(minutes=1), hours=1))
    set_back(trigger, 2 * HOUR)
    make_due(trigger)
    reached, go_on = threading.Event(), threading.Event()
    renew = cursors.renew

    def stand(*given: Any) -> Any:
        reached.set()
        assert go_on.wait(20)
        return renew(*given)

    def renew_all() -> None:
        try:
            renewing.renew_outdated()
        finally:
            connection.close()

    with installed(newer):
        with monkeypatch.context() as patch:
            patch.setattr(cursors, "renew", stand)
            thread = threading.Thread(target=renew_all)
            thread.start()
            try:
                assert reached.wait(10)
                assert ticking.fire_due() == 0
            finally:
                go_on.set()
                thread.join(20)
        assert ticking.fire_due() == 1
        assert ticking.fire_due() == 0

    assert dues_of(trigger) == [now - timedelta(minutes=30)]


def test_given_a_tick_under_way_when_its_schedule_is_to_be_renewed_then_the_sweep_does_not_wait(
    older: Path, newer: Path, now: datetime, at: dict[str, Any]
) -> None:
    trigger = published_by(older, schedule_at(now + 30 * timedelta(minutes=1), hours=1))
    set_back(trigger, 2 * HOUR)
    make_due(trigger)

    with installed(newer):
        with held_at_t1(at):
            assert renewing.renew_outdated() == 0
        assert (reread(trigger).zone_data, len(dues_of(trigger))) == (NEWER, 1)
        assert renewing.renew_outdated() == 0


def test_given_a_cursor_that_was_moved_meanwhile_then_it_is_not_renewed(
    older: Path, newer: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cannot be while the row is locked. Should the lock ever go, the cursor still tells."""
    trigger = published_by(older, schedule_at(now + 5 * HOUR, hours=1))
    renew = cursors.renew

    def overtaken(*given: Any) -> Any:
        Trigger.objects.update(settled_until=F("settled_until") + HOUR)
        return renew(*given)

    monkeypatch.setattr(cursors, "renew", overtaken)
    with installed(newer):
        renewing.renew_outdated()

    assert (reread(trigger).next_due_at, trigger.zone_data) == (now + 5 * HOUR, OLDER)


def test_given_a_publish_under_way_then_it_is_not_waited_for_and_what_it_wrote_stands(
    older: Path, newer: Path, now: datetime
) -> None:
    trigger = published_by(older, schedule_at(now + 5 * HOUR, hours=1))

    def pause() -> None:
        services.pause(workflow_id=trigger.workflow_id, by=BY)

    with installed(newer):
        race(pause, *[renewing.renew_outdated] * 4)
        assert reread(trigger).next_due_at is None
        services.resume(workflow_id=trigger.workflow_id, by=BY)

    assert (reread(trigger).next_due_at, trigger.zone_data) == (now + 4 * HOUR, NEWER)


def test_given_processes_with_both_data_then_the_newer_ones_win_once_and_nothing_goes_back_and_forth(
    older: Path, newer: Path, now: datetime
) -> None:
    """Real processes, each with a package of its own."""
    passed = published_by(older, schedule_at(now + 30 * timedelta(minutes=1), hours=1))
    set_back(passed, 2 * HOUR)
    coming = published_by(older, schedule_at(now + 5 * HOUR, hours=1))
    deeds = ("sweep", "fire")

    with colleagues(older, newer) as everybody:
        assert [one.do("version") for one in everybody] == [[OLDER], [NEWER]]
        for one in everybody:  # both at once
            one.tell(*deeds * 2)
        for one in everybody:
            one.answer()
        before = sql.rows(WRITES, {})
        for _ in range(3):
            for one in everybody:
                one.tell(*deeds)
            for one in everybody:
                assert one.answer() == [False, 0]

    assert sql.rows(WRITES, {}) == before
    assert (reread(coming).next_due_at, coming.zone_data) == (now + 4 * HOUR, NEWER)
    assert reread(passed).zone_data == NEWER
    assert dues_of(passed) == [now - timedelta(minutes=30)]
    assert dues_of(coming) == []


def test_given_one_found_due_before_any_sweep_then_it_is_renewed_first(
    older: Path, newer: Path, now: datetime
) -> None:
    """By the old clock this time of day was still to come, and by the new one it lies before the cursor."""
    at = now + timedelta(minutes=30)
    trigger = published_by(older, schedule_at(at, hours=1))
    set_back(trigger, timedelta(0))
    make_due(trigger)

    with installed(newer):
        assert ticking.fire_due() == 1

    assert dues_of(trigger) == [at - HOUR]


def test_given_an_instant_by_newer_data_then_who_has_older_ones_leaves_it_to_the_others(
    older: Path, newer: Path
) -> None:
    with installed(newer):
        trigger = a_schedule(EVERY_MINUTE)
    set_back(trigger, HOUR)
    make_due(trigger)

    with installed(older):
        assert ticking.fire_due() == 0
        assert renewing.renew_outdated() == 0
    with installed(newer):
        assert ticking.fire_due() == 60


def test_given_that_nobody_has_newer_data_any_more_then_what_is_due_fires_ten_seconds_later_while_on_time(
    older: Path, newer: Path
) -> None:
    """A release was taken back."""
    with installed(newer):
        trigger = a_schedule({**EVERY_MINUTE, "missed": "none"})
    late = ticking.NEWER_FIRST_SECONDS + 1
    assert late < 30
    due_at = datetime.now(UTC) - timedelta(seconds=late)
    Trigger.objects.update(next_due_at=due_at)

    with installed(older):
        ticking.fire_due()

    assert reread(trigger).zone_data == OLDER
    assert trigger.next_due_at is not None
    assert trigger.next_due_at > due_at
