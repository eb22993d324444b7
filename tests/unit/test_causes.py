"""For whom code acts: inside the block and nowhere else."""

from __future__ import annotations

import contextvars
import threading
from uuid import UUID

import pytest

from triggers.causes import Cause, acting_for, current

ONE = Cause(UUID(int=1), UUID(int=11), "a" * 32, 0)
OTHER = Cause(UUID(int=2), UUID(int=12), "b" * 32, 3)


def test_outside_every_block_nobody_is_the_cause() -> None:
    assert current() is None


def test_blocks_may_be_nested_and_nobody_ends_the_outer_one() -> None:
    with acting_for(ONE):
        with acting_for(OTHER):
            assert current() == OTHER
            with acting_for(None):
                assert current() is None
            assert current() == OTHER
        assert current() == ONE
    assert current() is None


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_given_an_error_in_the_block_then_the_cause_ends_with_it(error: type[BaseException]) -> None:
    with pytest.raises(error), acting_for(ONE):
        raise error
    assert current() is None


def test_threads_keep_theirs_apart_and_may_be_given_it() -> None:
    seen: list[Cause | None] = []

    def look() -> None:
        seen.append(current())

    with acting_for(ONE):
        copied = contextvars.copy_context()
    threads = [threading.Thread(target=copied.run, args=(look,)), threading.Thread(target=look)]
    for thread in threads:
        thread.start()
        thread.join()

    assert seen == [ONE, None]
