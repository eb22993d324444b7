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


def test_while_there_is_room_for_one_a_batch_begins_whole() -> None:
    crowd = Crowd(4)
    crowd.join(3)
    crowd.join(8)


def test_given_as_many_at_work_as_may_be_then_new_ones_wait_for_an_end() -> None:
    crowd = Crowd(3)
    crowd.join(3)
    late = waits(lambda: crowd.join(3))

    crowd.leave()

    ends(late)


def test_one_or_two_are_no_flood_and_do_not_wait() -> None:
    crowd = Crowd(1)
    crowd.join(8)
    crowd.join(1)
    crowd.join(2)


def test_given_steps_that_wait_for_an_answer_then_they_keep_nobody_out() -> None:
    crowd = Crowd(3)
    crowd.join(3)
    crowd.leave(3)  # all are sent

    crowd.join(3)


def test_an_answer_is_never_kept_waiting() -> None:
    crowd = Crowd(3)
    crowd.join(3)
    crowd.leave(3)
    crowd.join(3)

    crowd.rejoin()

    late = waits(lambda: crowd.join(3))
    crowd.leave()
    assert late.is_alive()  # one more is at work than new ones may join
    crowd.leave()
    ends(late)


@pytest.mark.parametrize("number", [1, 2])
def test_room_for_several_is_told_to_several(number: int) -> None:
    crowd = Crowd(8)
    crowd.join(8)
    late = [waits(lambda: crowd.join(3)) for _ in range(number)]

    crowd.leave(8)

    for thread in late:
        ends(thread)
