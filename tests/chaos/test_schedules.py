"""What the harness says of ticks: planted contradictions are found, and a cursor set back makes the same instants due."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest
from django.db import connection

from tests.bellboy import Bellboy
from tests.chaos import schedules
from tests.chaos.stack import Stack
from tests.clockwork import EVERY_MINUTE, a_schedule, dues_of, is_every_minute, this_morning
from triggers import ticking
from triggers.models import Tick, Trigger

pytestmark = pytest.mark.django_db(transaction=True)

NAME = schedules.EVERY_MINUTE[0]


class Rows:
    """In place of the installation: its database is the test's."""

    def ask(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, params or None)
            return list(cursor.fetchall())


@pytest.fixture
def stack() -> Stack:
    return cast(Stack, Rows())


def fire(bellboy: Bellboy) -> None:
    while ticking.fire_due():
        pass
    bellboy.answer_all()


@pytest.fixture
def ticking_workflow(stack: Stack, bellboy: Bellboy) -> Trigger:
    trigger = a_schedule({**EVERY_MINUTE, "missed": "all"}, name=NAME)
    assert schedules.fall_behind(stack, NAME, 10)
    fire(bellboy)
    return trigger


def test_a_cursor_set_back_makes_every_minute_since_due_and_what_has_fired_fires_no_second_time(
    stack: Stack, bellboy: Bellboy, ticking_workflow: Trigger
) -> None:
    assert len(dues_of(ticking_workflow)) in (10, 11)
    assert schedules.fall_behind(stack, NAME, 10)
    assert stack.ask(schedules.DUE) == [(1,)]

    fire(bellboy)

    assert len(dues_of(ticking_workflow)) in (20, 21)
    assert is_every_minute(dues_of(ticking_workflow))
    assert schedules.contradictions(stack) == {}
    assert stack.ask(schedules.DUE) == [(0,)]


@pytest.mark.parametrize(("missed", "expected"), schedules.FIRED_OF_300.items())
def test_a_morning_of_downtime_fires_as_the_policy_says(
    stack: Stack, bellboy: Bellboy, missed: str, expected: int
) -> None:
    a_schedule(this_morning(missed), name=schedules.MORNING[missed])
    schedules.fall_behind(stack, schedules.MORNING[missed], 12 * 60)

    fire(bellboy)

    assert schedules.ticks_of(stack, schedules.MORNING[missed]) == expected
    assert schedules.contradictions(stack) == {}


def test_given_an_instant_without_its_tick_then_it_is_missing_and_its_event_is_uneven(
    stack: Stack, ticking_workflow: Trigger
) -> None:
    Tick.objects.filter(due_at=dues_of(ticking_workflow)[3]).delete()

    found = schedules.contradictions(stack)

    assert len(found["an instant that was due and never fired"]) == 1
    assert len(found["a tick without exactly one first run, or an event without its tick"]) == 1


def test_given_a_tick_at_what_is_no_instant_then_it_is_found(stack: Stack, ticking_workflow: Trigger) -> None:
    tick = Tick.objects.order_by("due_at")[2]
    Tick.objects.filter(pk=tick.pk).update(due_at=tick.due_at + timedelta(seconds=7))

    assert len(schedules.contradictions(stack)["a tick at what is no instant"]) == 1


def test_given_an_event_that_nobody_dispatched_then_its_tick_is_uneven(stack: Stack) -> None:
    a_schedule({**EVERY_MINUTE, "missed": "all"}, name=NAME)
    schedules.fall_behind(stack, NAME, 2)
    ticking.fire_due()

    assert list(schedules.contradictions(stack)) == [
        "a tick without exactly one first run, or an event without its tick"
    ]
