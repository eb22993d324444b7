"""When time zone data become newer, schedules follow them, whoever is still at work with the older ones.

The zone Test/Moved is an hour ahead of UTC by the older data. By the newer ones it is two hours or none ahead, as the test
says: from tomorrow on, or since a time when the older data were still believed.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F

from executions import sweeper, tasks
from executions.verifying.ticks import not_as_scheduled, standing_still
from lightfield.kernel import sql
from tests.clockwork import HOUR, a_schedule, dues_of, make_due
from tests.factories import BY
from tests.jotter import Jotter
from tests.zone_data import NEWER, OLDER, ZONE, a_release, installed, schedule_at
from triggers import renewing, ticking
from triggers.models import OutboxEvent, Tick, Trigger
from triggers.schedules import zones
from workflows import services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
WRITES = "SELECT id, xmin::text FROM triggers_trigger ORDER BY id"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    return a_release(tmp_path, OLDER, 1)


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The clock has gone forward a month ago, and nobody here knew: everything is due an hour earlier."""
    return a_release(tmp_path, NEWER, 1, ((now() - 30 * DAY, 2),))


@pytest.fixture
def newer_behind(tmp_path: Path) -> Path:
    """It has gone back: everything is due an hour later."""
    return a_release(tmp_path / "behind", NEWER, 1, ((now() - 30 * DAY, 0),))


@pytest.fixture(autouse=True)
def this_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test knows one now, however long it takes."""
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    monkeypatch.setattr(sys.modules[__name__], "now", lambda: minute)


def now() -> datetime:
    raise NotImplementedError  # the fixture's


def is_sound() -> bool:
    """`verify` finds by the data at hand what has fired as it should be, and the rest to come."""
    return (
        not [*not_as_scheduled(), *standing_still()] and Tick.objects.count() == OutboxEvent.objects.count()
    )


def published(older: Path, config: dict[str, Any]) -> Trigger:
    """With the older data, two days ago; nothing of it has been due since."""
    with installed(older):
        trigger = a_schedule(config)
    Trigger.objects.filter(pk=trigger.pk).update(scheduled_from=F("scheduled_from") - 2 * DAY)
    return reread(trigger)


def reread(trigger: Trigger) -> Trigger:
    trigger.refresh_from_db()
    return trigger


def fired_by(older: Path, config: dict[str, Any], ago: timedelta) -> Trigger:
    """What the older data said was due has fired so long ago."""
    trigger = published(older, config)
    Trigger.objects.filter(pk=trigger.pk).update(settled_until=now() - ago - MINUTE)
    with installed(older):
        assert ticking.fire_due() == 0
        make_due(trigger)
        assert ticking.fire_due() == 1
    Trigger.objects.filter(pk=trigger.pk).update(settled_until=now() - ago)
    return reread(trigger)


def test_the_version_is_that_of_the_data_that_schedules_are_computed_with(older: Path) -> None:
    assert zones.version() == import_module("tzdata").IANA_VERSION
    with installed(older):
        assert zones.version() == OLDER
        assert zones.find(ZONE) is not None
    assert zones.find(ZONE) is None


def test_given_data_that_move_the_clock_tomorrow_when_swept_then_it_is_due_by_them_and_nothing_fired(
    older: Path, tmp_path: Path, jotter: Jotter
) -> None:
    at = now() + 20 * HOUR
    trigger = published(older, schedule_at(at, hours=1))
    assert (trigger.next_due_at, trigger.zone_data, trigger.zone_offset) == (at, OLDER, 3600)
    settled_until = trigger.settled_until

    with installed(a_release(tmp_path, NEWER, 1, ((now() + 10 * HOUR, 2),))):
        tasks.sweep()

    reread(trigger)
    assert (trigger.next_due_at, trigger.zone_data, trigger.zone_offset) == (at - HOUR, NEWER, 3600)
    assert trigger.settled_until == settled_until
    assert Tick.objects.count() == 0
    [(trigger_id, verdict, detail)] = jotter.told
    assert (trigger_id, verdict) == (trigger.pk, "clock_moved")
    assert detail is not None
    assert (detail["was_zone_data"], detail["zone_data"]) == (OLDER, NEWER)


def test_given_an_instant_that_comes_later_by_newer_data_then_it_does_not_fire_at_the_old_one(
    older: Path, newer_behind: Path
) -> None:
    """Nobody has swept meanwhile: who finds it due notices it too."""
    trigger = published(older, schedule_at(now(), hours=1))
    Trigger.objects.update(settled_until=now() - 3 * HOUR, next_due_at=now())

    with installed(newer_behind):
        assert ticking.fire_due() == 0

    assert Tick.objects.count() == 0
    assert reread(trigger).next_due_at == now() + HOUR


def test_given_an_instant_that_has_gone_by_already_by_newer_data_then_it_fires_at_once_and_once(
    older: Path, newer: Path
) -> None:
    at = now() + 30 * MINUTE
    trigger = published(older, schedule_at(at, hours=1))
    Trigger.objects.update(settled_until=now() - 2 * HOUR)

    with installed(newer):
        tasks.sweep()
        assert reread(trigger).next_due_at == at - HOUR
        assert ticking.fire_due() == 1
        assert ticking.fire_due() == 0
        assert is_sound()

    assert dues_of(trigger) == [at - HOUR]
    assert reread(trigger).next_due_at == at - HOUR + DAY


def test_given_a_time_of_day_that_has_fired_by_older_data_then_it_does_not_fire_again_today(
    older: Path, newer_behind: Path
) -> None:
    at = now() - 20 * MINUTE
    trigger = fired_by(older, schedule_at(at, hours=1), ago=20 * MINUTE)

    with installed(newer_behind):
        tasks.sweep()
        assert is_sound()

    assert reread(trigger).next_due_at == at + HOUR + DAY
    assert dues_of(trigger) == [at]


def test_given_a_time_of_day_that_older_data_still_expected_then_it_is_not_missed(
    older: Path, newer: Path
) -> None:
    """One time of day has fired by the old clock; the next one, by the new clock, was earlier than that."""
    first, second = now() - 10 * MINUTE, now() + 20 * MINUTE
    line = f"{first.minute},{second.minute} * * * *".replace(
        "*", f"{(first + HOUR).hour},{(second + HOUR).hour}", 1
    )
    trigger = fired_by(older, {"cron": line, "timezone": ZONE, "missed": "all"}, ago=10 * MINUTE)
    fired = dues_of(trigger)

    with installed(newer):
        tasks.sweep()
        ticking.fire_due()
        assert is_sound()

    assert second - HOUR in set(dues_of(trigger)) - set(fired)


def test_given_a_schedule_by_elapsed_time_then_a_moved_clock_skips_and_repeats_nothing(
    older: Path, newer: Path, newer_behind: Path
) -> None:
    trigger = published(older, {"cron": "* * * * *", "timezone": ZONE, "missed": "all"})
    before = trigger.settled_until, trigger.next_due_at

    for release in (newer, newer_behind):
        with installed(release):
            renewing.renew_outdated()
        assert (reread(trigger).settled_until, trigger.next_due_at) == before
        Trigger.objects.update(zone_data=OLDER, zone_offset=3600)


def test_given_a_schedule_just_published_then_its_first_time_of_day_is_not_taken_for_one_that_has_fired(
    older: Path, newer_behind: Path
) -> None:
    with installed(older):
        trigger = a_schedule(schedule_at(now() - 20 * MINUTE, hours=1))

    with installed(newer_behind):
        renewing.renew_outdated()

    assert reread(trigger).next_due_at == now() + 40 * MINUTE


def test_given_schedules_that_are_up_to_date_then_sweeps_and_looks_write_nothing() -> None:
    for _ in range(3):
        a_schedule({"every": "day", "at": f"{now() + 5 * HOUR:%H:%M}"})
    before = sql.rows(WRITES, {})

    assert not sweeper.sweep().has_outdated_schedules
    tasks.sweep()
    ticking.fire_due()

    assert sql.rows(WRITES, {}) == before


def test_given_more_than_a_batch_then_one_sweep_renews_all_of_it(
    older: Path, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "BATCH", 2)
    triggers = [published(older, schedule_at(now() + 5 * HOUR, hours=1)) for _ in range(5)]

    with installed(newer):
        tasks.sweep()

    assert {reread(trigger).next_due_at for trigger in triggers} == {triggers[0].next_due_at}
    assert set(Trigger.objects.values_list("zone_data", flat=True)) == {NEWER}
    assert not sweeper.sweep().has_outdated_schedules


def test_given_one_that_cannot_be_read_then_the_others_are_renewed_and_it_is_told_when_it_is_due(
    older: Path, newer: Path
) -> None:
    bad = published(older, schedule_at(now() + 4 * HOUR, hours=1))
    good = published(older, schedule_at(now() + 5 * HOUR, hours=1))
    Trigger.objects.filter(pk=bad.pk).update(config={"moon": "full"})
    due_at = bad.next_due_at

    with installed(newer):
        tasks.sweep()
        assert not sweeper.sweep().has_outdated_schedules  # it is not looked at in each sweep

    assert reread(bad).next_due_at == due_at
    assert reread(good).zone_data == NEWER
    services.archive(workflow_id=bad.workflow_id, by=BY)


def test_given_one_that_waits_after_a_failure_then_it_goes_on_waiting(older: Path, newer: Path) -> None:
    trigger = published(older, schedule_at(now() + 5 * HOUR, hours=1))
    Trigger.objects.update(failures=1, next_due_at=now() + 2 * MINUTE)

    with installed(newer):
        tasks.sweep()

    assert reread(trigger).next_due_at == now() + 2 * MINUTE


def test_given_a_failure_under_newer_data_then_it_is_counted_as_any_other(
    older: Path, newer: Path, at: dict[str, Any]
) -> None:
    """What the catching up had renewed is undone with it."""
    trigger = published(older, schedule_at(now() + 5 * HOUR, hours=1))
    make_due(trigger)
    at["CP-T1"] = lambda: 1 // 0

    with installed(newer):
        assert ticking.fire_due() == 0

    assert (reread(trigger).failures, trigger.zone_data) == (1, OLDER)


def test_given_a_pause_then_nothing_is_renewed_and_it_begins_by_newer_data_when_it_goes_on(
    older: Path, newer: Path
) -> None:
    trigger = published(older, schedule_at(now() + 5 * HOUR, hours=1))
    services.pause(workflow_id=trigger.workflow_id, by=BY)

    with installed(newer):
        assert renewing.renew_outdated() == 0
        services.resume(workflow_id=trigger.workflow_id, by=BY)

    assert (reread(trigger).next_due_at, trigger.zone_data) == (now() + 4 * HOUR, NEWER)


def test_given_a_death_before_the_commit_then_nothing_is_renewed_and_the_next_sweep_does_it(
    older: Path, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        """Stands for a process that ends."""

    def die(*_: Any) -> None:
        raise Died

    trigger = published(older, schedule_at(now() + 5 * HOUR, hours=1))
    with installed(newer):
        with monkeypatch.context() as patch:
            patch.setattr(renewing, "_tell", die)
            with pytest.raises(Died):
                tasks.sweep()
        assert reread(trigger).zone_data == OLDER
        tasks.sweep()

    assert reread(trigger).zone_data == NEWER
