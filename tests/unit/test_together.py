"""Group commit: nobody waits for company, and everybody gets what is theirs."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from executions.together import MOST, Together

PATIENCE = 10.0


def nothing() -> None:
    """Nobody holds anything here."""


class Pen:
    """A `write` that stops at each call until it is told to go on, and notes what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.error: Exception | None = None

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.began.release()
        assert self.may_end.acquire(timeout=PATIENCE)
        if self.error is not None:
            raise self.error
        return [item * 10 for item in items]


@pytest.fixture
def pen() -> Pen:
    return Pen()


def behind_one_that_writes(pen: Pen, *others: list[int]) -> list[Any]:
    """The results of a first caller and of `others`, who all came while it was writing."""
    together = Together(pen, nothing)
    with ThreadPoolExecutor(len(others) + 1) as pool:
        futures: list[Future[Any]] = [pool.submit(together, [0])]
        assert pen.began.acquire(timeout=PATIENCE)
        for number, items in enumerate(others, start=1):
            futures.append(pool.submit(together, items))
            _until(lambda number=number: len(together._waiting) == number)
        for _ in range(len(others) + 1):
            pen.may_end.release()
        return [future.exception(PATIENCE) or future.result() for future in futures]


def _until(condition: Any) -> None:
    wait = threading.Event()
    for _ in range(2000):
        if condition():
            return
        wait.wait(0.005)
    raise AssertionError("it never became so")


def test_one_alone_writes_at_once_and_in_its_own_thread() -> None:
    seen: list[int] = []

    def write(items: list[int]) -> list[int]:
        seen.append(threading.get_ident())
        return items

    assert Together(write, nothing)([1, 2]) == [1, 2]
    assert seen == [threading.get_ident()]


def test_nothing_is_written_for_nobody(pen: Pen) -> None:
    assert Together(pen, nothing)([]) == []
    assert pen.batches == []


def test_those_who_came_while_one_wrote_are_written_together(pen: Pen) -> None:
    results = behind_one_that_writes(pen, [1], [2, 3], [4])

    assert pen.batches == [[0], [1, 2, 3, 4]]
    assert results == [[0], [10], [20, 30], [40]]


def test_a_batch_has_an_end_and_the_rest_follows_in_the_next(pen: Pen) -> None:
    first, second = list(range(1, MOST)), [100, 101]

    results = behind_one_that_writes(pen, first, second)

    assert pen.batches == [[0], first, second]
    assert results[2] == [1000, 1010]


def test_an_error_is_everybodys_and_the_next_may_try_again(pen: Pen) -> None:
    pen.error = ValueError("away")
    results = behind_one_that_writes(pen, [1], [2])
    assert [str(result) for result in results] == ["away"] * 3

    pen.error = None
    together = Together(pen, nothing)
    pen.may_end.release()
    assert together([5]) == [50]


def test_after_an_error_the_pen_is_passed_on() -> None:
    together: Together[int, int] = Together(lambda items: [1 // item for item in items], nothing)
    with pytest.raises(ZeroDivisionError):
        together([0])
    assert together([1]) == [1]
