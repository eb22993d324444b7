"""Any number may look at once: every instant fires once, and no schedule waits for another one."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.clockwork import LATER, an_overdue, dues_of, fire_all, held_at_t1, is_every_minute
from tests.concurrency import race
from triggers import ticking
from triggers.models import OutboxEvent, Tick
from triggers.schedules.catching_up import BATCH_LIMIT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


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
