"""Ticks: whatever is due fires once, whoever looks, however often, and wherever somebody dies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F

from executions.models import Run
from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace
from tests.bellboy import Bellboy
from tests.clockwork import (
    EVERY_MINUTE,
    SINCE_MIDNIGHT,
    a_schedule,
    an_overdue,
    dues_of,
    is_every_minute,
    make_due,
    set_back,
)
from tests.concurrency import race, wait_until_blocked
from tests.factories import BY, a_published_workflow
from triggers import cursors, ticking
from triggers.models import OutboxEvent, Tick, Trigger
from triggers.schedules.catching_up import BATCH_LIMIT
from triggers.schedules.instants import spelled
from workflows import services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

HOUR = timedelta(hours=1)
LATER = timedelta(hours=5)  # due since then: later than since midnight


class Died(BaseException):
    """Stands for a process that ends: nobody catches it."""


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What happens at a crash point: `at["CP-T1"] = function`."""
    deeds: dict[str, Any] = {}
    monkeypatch.setattr(ticking, "crashpoint", lambda name: deeds.get(name, lambda: None)())
    return deeds


def fire_all() -> int:
    """Until nothing is due any more, whatever a turn lasts."""
    total = 0
    while fired := ticking.fire_due():
        total += fired
    return total


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


# --- many at once ---------------------------------------------------------------------------------


def test_given_eight_who_look_at_once_then_every_instant_fires_once() -> None:
    triggers = [an_overdue("all") for _ in range(4)]

    def look() -> int:
        fired = 0
        while caught_up := ticking.catch_up_next():
            fired += caught_up.fired
        return fired

    fired = race(*[look] * 8)

    # A look that found every due trigger in others' hands ends: what is left is for the next one.
    assert sum(fired) + fire_all() == 1200
    for trigger in triggers:
        assert len(dues_of(trigger)) == 300
        assert is_every_minute(dues_of(trigger))
    assert OutboxEvent.objects.count() == Tick.objects.count() == 1200


@contextmanager
def held_at_t1(at: dict[str, Any]) -> Iterator[threading.Event]:
    """Somebody else has the oldest due trigger in hand, nothing written; the event lets it go on."""
    reached, go_on = threading.Event(), threading.Event()
    outcome: list[Any] = []

    def stand() -> None:
        at.pop("CP-T1")
        reached.set()
        assert go_on.wait(20)

    def catch_up() -> None:
        try:
            outcome.append(ticking.catch_up_next())
        except Exception as error:  # noqa: BLE001  kept for the test
            outcome.append(error)
        finally:
            connection.close()

    at["CP-T1"] = stand
    thread = threading.Thread(target=catch_up)
    thread.start()
    assert reached.wait(10)
    go_on.outcome = outcome  # type: ignore[attr-defined]
    try:
        yield go_on
    finally:
        go_on.set()
        thread.join(20)
        assert not thread.is_alive()


def test_given_a_trigger_in_others_hands_then_the_next_one_is_fired_without_waiting(
    at: dict[str, Any],
) -> None:
    first = an_overdue()
    second = an_overdue(by=LATER)

    with held_at_t1(at):
        assert ticking.fire_due() == 1
        assert (len(dues_of(first)), len(dues_of(second))) == (0, 1)

    assert len(dues_of(first)) == 1


def test_given_an_event_by_hand_being_written_then_its_schedule_fires_all_the_same() -> None:
    trigger = an_overdue()
    reached, go_on = threading.Event(), threading.Event()

    def write_by_hand() -> None:
        with transaction.atomic():
            sql.rows(
                "SELECT 1 FROM triggers_trigger WHERE id = %(id)s::bigint FOR KEY SHARE", {"id": trigger.pk}
            )
            reached.set()
            go_on.wait(10)
        connection.close()

    thread = threading.Thread(target=write_by_hand)
    thread.start()
    try:
        assert reached.wait(10)
        assert ticking.fire_due() == 1
    finally:
        go_on.set()
        thread.join()


def test_given_three_threads_at_it_when_rung_again_then_the_fourth_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    an_overdue()
    again: list[int] = []
    at_it = threading.Barrier(ticking.THREADS + 1)

    def stand() -> tuple[int, bool]:
        at_it.wait(10)  # all of them have begun
        at_it.wait(10)  # the fourth has come
        return 0, True

    monkeypatch.setattr(ticking, "_fire_in_rounds", stand)

    def come_later() -> None:
        at_it.wait(10)
        again.append(ticking.fire_due())
        at_it.wait(10)

    race(*[ticking.fire_due] * ticking.THREADS, come_later)

    assert again == [0]
    monkeypatch.undo()
    assert ticking.fire_due() == 1


def test_given_many_due_at_once_then_others_are_rung_for_and_help(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticking, "TURN_SECONDS", 60)
    for _ in range(ticking.MANY + 5):
        an_overdue()

    ticking.fire_due()

    assert [bell.task for bell in bellboy.rung if bell.topic == "ticks"] == ["triggers.fire_ticks"]
    bellboy.answer_all(but=lambda bell: bell.task != "triggers.fire_ticks")
    assert Tick.objects.count() == ticking.MANY + 5


def test_given_more_than_a_turn_can_fire_then_it_rings_for_the_rest(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_overdue("all")
    monkeypatch.setattr(ticking, "TURN_SECONDS", 0.0001)

    assert ticking.fire_due() in (0, BATCH_LIMIT)
    assert [bell.task for bell in bellboy.rung if bell.forced] == ["triggers.fire_ticks"]

    monkeypatch.undo()
    bellboy.answer_all()
    assert Tick.objects.count() == 300


def test_given_a_schedule_with_much_to_catch_up_then_the_others_need_not_wait_for_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = an_overdue("all")
    small = an_overdue()
    order: list[int] = []
    catch_up_next = ticking.catch_up_next

    def noted(passed: Any) -> Any:
        caught_up = catch_up_next(passed)
        order.append(caught_up.trigger_id if caught_up else 0)
        return caught_up

    monkeypatch.setattr(ticking, "catch_up_next", noted)
    ticking.fire_due()

    assert order[:4] == [large.pk, small.pk, 0, large.pk]


# --- deaths, zombies and doubles ------------------------------------------------------------------


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


# --- poison ---------------------------------------------------------------------------------------


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


# --- beside what people do ------------------------------------------------------------------------


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
