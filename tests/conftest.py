"""Shared fixtures. Bells never leave the process in tests, unless a test asks for the real ringer."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from lightfield.kernel import bells, sql
from tests import emptying
from tests.bellboy import Bellboy
from tests.jotter import Jotter
from tests.scripted import installed
from tests.side_by_side import InFiles
from tests.staging import broken_promises
from triggers import throttling
from triggers.decisions import notebook
from triggers.deliveries import desk
from triggers.deliveries.desk import Desk
from triggers.throttling import Throttle
from triggers.throttling.buckets import Limit


def pytest_configure() -> None:
    emptying.use()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What stays is never garbage: to look through thousands of tests and modules, again and again, took a tenth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> InFiles:
    return InFiles(config, log)


@pytest.fixture(autouse=True)
def bellboy() -> Iterator[Bellboy]:
    """The bells rung in this test; `bellboy.answer_all()` answers them through the real tasks."""
    boy = Bellboy()
    before = bells.use(boy)
    yield boy
    bells.use(before)


@pytest.fixture(autouse=True)
def jotter() -> Iterator[Jotter]:
    """What was noted of decisions in this test. None of it leaves the process."""
    jotter = Jotter()
    before = notebook.use(jotter)
    yield jotter
    notebook.use(before)


@pytest.fixture(autouse=True)
def unthrottled() -> Iterator[None]:
    """Nobody is told to come later, and nothing is counted across tests, unless a test has a throttle of its own."""
    plenty = Limit(rate=1e6, burst=1e6)
    before = throttling.use(Throttle(endpoint=plenty, address=plenty, refused=plenty))
    yield
    throttling.use(before)


@pytest.fixture(autouse=True)
def inbox() -> Iterator[Desk]:
    """Deliveries of what became no event: `inbox.flush()` writes them. Nothing is written by a thread."""
    desk_of_test = Desk(is_threaded=False)
    before = desk.use(desk_of_test)
    yield desk_of_test
    desk.use(before)


@pytest.fixture
def promises_kept(transactional_db: None) -> Iterator[None]:
    """Whatever the test did to them, every run must be sound when it ends."""
    yield
    assert broken_promises() == {}


@pytest.fixture
def slow_step() -> Iterator[Any]:
    """A step type `slow` on the http lane: `slow_step.script` says what its `execute` does."""
    with installed("slow") as step_type:
        yield step_type


@pytest.fixture
def due_now() -> Callable[[], None]:
    """Let every wait be over, and sweep."""

    def make_due() -> None:
        from executions import sweeper

        sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp() WHERE status = 'waiting'", {})
        sweeper.sweep()

    return make_due
