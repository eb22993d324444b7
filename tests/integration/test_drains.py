"""One thread of a process drains a shard; whoever rings for it meanwhile is answered by that thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import OperationalError, transaction

from executions import dispatcher
from executions.dispatcher import Batch
from executions.models import Run
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import a_published_workflow, an_event
from tests.staging import slow
from triggers.models import OutboxEvent

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]
SHARD = 5


class Looks:
    """The looks that `dispatch_shard` takes at its shard, counted; the first of them can be made to wait."""

    def __init__(self) -> None:
        self.count = 0
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self._look = dispatcher.dispatch_batch

    def __call__(self, shard: int) -> Batch:
        self.count += 1
        is_first = self.count == 1
        if is_first:
            self.before()
        batch = self._look(shard)
        if is_first:
            self.after()
        return batch


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks = Looks()
    monkeypatch.setattr(dispatcher, "dispatch_batch", looks)
    return looks


@pytest.mark.parametrize("where", ["before", "after"])
def test_given_a_shard_that_is_drained_when_rung_for_then_the_first_thread_takes_its_event(
    bellboy: Bellboy, looks: Looks, where: str
) -> None:
    """`after`: its last look found nothing of this event, and it has not yet ended."""
    workflow = a_published_workflow(steps=[slow()])
    an_event(workflow, shard=SHARD)
    looks_now, is_back = threading.Event(), threading.Event()

    def wait() -> None:
        looks_now.set()
        assert is_back.wait(10)

    def second() -> int:
        assert looks_now.wait(10)
        an_event(workflow, shard=SHARD, payload={"n": 1})
        try:
            return dispatcher.dispatch_shard(SHARD)  # while the first one waits
        finally:
            is_back.set()

    setattr(looks, where, wait)

    taken = race(lambda: dispatcher.dispatch_shard(SHARD), second)

    assert taken == [2, 0]
    assert Run.objects.count() == 2
    assert looks.count == 2  # the bell is answered by one look more, and by no more than that
    assert dispatcher.dispatch_shard(SHARD) == 0
    assert looks.count == 3  # the shard is free again


def test_other_shards_are_drained_meanwhile(bellboy: Bellboy, looks: Looks) -> None:
    workflow = a_published_workflow(steps=[slow()])
    for shard in (SHARD, SHARD + 1):
        an_event(workflow, shard=shard)
    looks.before = lambda: taken.append(dispatcher.dispatch_shard(SHARD + 1))
    taken: list[int] = []

    taken.append(dispatcher.dispatch_shard(SHARD))

    assert taken == [1, 1]


@pytest.mark.parametrize("error", [OperationalError("gone"), ValueError("a bug"), SystemExit(0)])
def test_given_an_error_in_a_drain_then_the_next_bell_is_answered(
    bellboy: Bellboy, looks: Looks, error: BaseException
) -> None:
    an_event(a_published_workflow(steps=[slow()]), shard=SHARD)

    def fail() -> None:
        raise error

    looks.before = fail
    with pytest.raises(type(error)):
        dispatcher.dispatch_shard(SHARD)

    assert dispatcher.dispatch_shard(SHARD) == 1


def test_given_a_turn_that_ended_with_events_left_then_the_next_bell_is_answered(
    bellboy: Bellboy, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "BATCH", 2)
    monkeypatch.setattr(dispatcher, "TURN_SECONDS", 0.0)
    workflow = a_published_workflow(steps=[slow()])
    for n in range(3):
        an_event(workflow, shard=SHARD, payload={"n": n})

    assert [dispatcher.dispatch_shard(SHARD) for _ in range(2)] == [2, 1]


def test_given_a_full_batch_that_another_process_holds_then_the_turn_ends_without_a_bell(
    bellboy: Bellboy, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking again and again would find the same rows, and whoever holds them goes on by itself."""
    monkeypatch.setattr(dispatcher, "BATCH", 2)
    workflow = a_published_workflow(steps=[slow()])
    for n in range(3):
        an_event(workflow, shard=SHARD, payload={"n": n})
    are_held, may_end = threading.Event(), threading.Event()

    def other_process() -> None:
        with transaction.atomic():
            assert len(OutboxEvent.objects.select_for_update()) == 3
            are_held.set()
            assert may_end.wait(10)

    def dispatch() -> int:
        assert are_held.wait(10)
        try:
            return dispatcher.dispatch_shard(SHARD)
        finally:
            may_end.set()

    assert race(other_process, dispatch) == [None, 0]
    assert looks.count == 1
    assert bellboy.rung == []
    assert dispatcher.dispatch_shard(SHARD) == 3
