"""How many steps of a process are at work at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from executions.crowd import Crowd

PATIENCE = 10.0


def waits(step: Callable[[], None]) -> threading.Thread:
    """A thread that has begun this and is not done with it."""
    thread = threading.Thread(target=step, daemon=True)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    return thread


def ends(thread: threading.Thread) -> None:
    thread.join(PATIENCE)
    assert not thread.is_alive()


def come(crowd: Crowd, number: int, workflow: str = "flood") -> None:
    """So many runs of a workflow begin in one message."""
    crowd.join(number)
    for _ in range(number):
        crowd.begin(workflow)
    crowd.joined(number, begun=number)


def test_while_there_is_room_for_one_a_batch_begins_whole() -> None:
    crowd = Crowd(4)
    come(crowd, 3)
    come(crowd, 8)


def test_given_as_many_at_work_as_may_be_then_new_ones_wait_for_an_end() -> None:
    crowd = Crowd(3)
    come(crowd, 3)
    late = waits(lambda: come(crowd, 3))

    crowd.end("flood")

    ends(late)


def test_what_joined_and_found_nothing_to_do_keeps_nobody_out() -> None:
    crowd = Crowd(3)
    crowd.join(8)
    late = waits(lambda: come(crowd, 3))

    crowd.joined(8, begun=0)

    ends(late)


def test_one_or_two_are_no_flood_and_do_not_wait() -> None:
    crowd = Crowd(1)
    come(crowd, 8)
    come(crowd, 1)
    come(crowd, 2)


def test_given_steps_that_wait_for_an_answer_then_they_keep_nobody_out() -> None:
    crowd = Crowd(3)
    come(crowd, 3)
    for _ in range(3):
        crowd.wait_for_answer("flood")  # all are sent

    come(crowd, 3)


def test_an_answer_is_never_kept_waiting() -> None:
    crowd = Crowd(3)
    come(crowd, 3)
    for _ in range(3):
        crowd.wait_for_answer("flood")
    come(crowd, 3)

    crowd.answer_came("flood")

    late = waits(lambda: come(crowd, 3))
    crowd.wait_for_answer("flood")
    assert late.is_alive()  # one more is at work than new ones may join
    crowd.wait_for_answer("flood")
    ends(late)


@pytest.mark.parametrize("number", [1, 2])
def test_room_for_several_is_told_to_several(number: int) -> None:
    crowd = Crowd(8)
    come(crowd, 8)
    late = [waits(lambda: come(crowd, 3)) for _ in range(number)]

    for _ in range(8):
        crowd.end("flood")

    for thread in late:
        ends(thread)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Courtesy without end, so that who gives way is seen to wait."""
    monkeypatch.setattr("executions.crowd.COURTESY_SECONDS", PATIENCE)


@pytest.mark.usefixtures("patient")
def test_a_flood_gives_way_while_a_single_run_of_another_workflow_is_at_work() -> None:
    crowd = Crowd(8)
    come(crowd, 3)
    come(crowd, 1, "single")
    flood = waits(lambda: crowd.give_way("flood"))

    crowd.end("single")

    ends(flood)


@pytest.mark.usefixtures("patient")
def test_a_flood_gives_way_while_one_is_on_its_way_that_nobody_knows_yet() -> None:
    crowd = Crowd(8)
    come(crowd, 3)
    crowd.join(1)
    flood = waits(lambda: crowd.give_way("flood"))

    crowd.joined(1, begun=0)

    ends(flood)


@pytest.mark.usefixtures("patient")
def test_a_flood_gives_way_before_it_begins_with_more() -> None:
    crowd = Crowd(8)
    come(crowd, 1, "single")
    flood = waits(lambda: come(crowd, 3))

    crowd.end("single")

    ends(flood)


@pytest.mark.usefixtures("patient")
def test_a_flood_gives_way_while_the_single_one_waits_for_a_quick_answer_but_not_for_a_slow_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowd = Crowd(8)
    come(crowd, 3)
    come(crowd, 1, "single")
    monkeypatch.setattr("executions.crowd.QUICK_SECONDS", PATIENCE)
    crowd.wait_for_answer("single")
    waits(lambda: crowd.give_way("flood"))

    monkeypatch.setattr("executions.crowd.QUICK_SECONDS", 0)
    crowd.give_way("flood")


@pytest.mark.usefixtures("patient")
def test_single_runs_do_not_give_way_to_each_other() -> None:
    crowd = Crowd(8)
    come(crowd, 2, "one")
    come(crowd, 1, "other")

    crowd.give_way("one")
    crowd.give_way("other")


@pytest.mark.usefixtures("patient")
def test_a_flood_does_not_give_way_to_another_flood() -> None:
    crowd = Crowd(8)
    come(crowd, 3)
    come(crowd, 3, "other flood")

    crowd.give_way("flood")


def test_a_flood_goes_on_although_there_is_always_a_single_run_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("executions.crowd.COURTESY_SECONDS", 0.001)
    crowd = Crowd(8)
    come(crowd, 3)
    come(crowd, 1, "single")

    crowd.give_way("flood")
    come(crowd, 3)
