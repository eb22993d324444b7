"""Events become runs: each once, in turn over the workflows, whoever dispatches."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from django.db import OperationalError, transaction

from executions import dispatcher
from executions.models import Run, TimelineEntry
from lightfield.kernel import sql
from lightfield.kernel.ids import uuid7
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import BY, a_published_workflow, an_event
from tests.staging import say, slow
from triggers.models import OutboxEvent
from workflows import services

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]
SHARD = 5


def events(count: int, *, workflow: Any = None, **columns: Any) -> list[OutboxEvent]:
    workflow = workflow or a_published_workflow(steps=[slow()])
    return [an_event(workflow, **{"payload": {"n": n}, "shard": SHARD, **columns}) for n in range(count)]


def statuses() -> Counter[str]:
    return Counter(OutboxEvent.objects.values_list("status", flat=True))


def test_an_event_becomes_a_run_at_its_first_step(bellboy: Bellboy) -> None:
    (event,) = events(1, trace_id="ab" * 16)

    batch = dispatcher.dispatch_batch(SHARD)

    run = Run.objects.get(event=event)
    assert (batch.picked, batch.taken, batch.lanes) == (1, 1, ["http"])
    assert (run.status, run.seq, run.generation, run.trace_id) == ("pending", 1, 1, "ab" * 16)
    assert run.version == event.version
    assert run.deadline_at is not None
    assert (run.deadline_at - run.created_at).total_seconds() == 86_400
    step = run.steps.get()
    assert (step.position, step.key, step.status, step.max_attempts) == (1, "call", "ready", 5)
    entry = run.timeline.get()
    assert (entry.type, entry.metadata) == ("run.created", {"event_id": str(event.pk)})
    assert entry.at == run.created_at == run.last_at
    event.refresh_from_db()
    assert (event.status, event.decided_at is not None) == ("dispatched", True)


def test_given_eight_dispatchers_on_one_shard_then_each_event_has_one_run(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "BATCH", 7)
    for _ in range(3):
        events(20)

    def drain() -> int:
        """As another process: in one of them a single thread would do all of it (test_drains.py)."""
        taken = 0
        while (batch := dispatcher.dispatch_batch(SHARD)).picked:
            taken += batch.taken
        return taken

    taken = race(*[drain] * 8)

    assert sum(taken) == 60
    assert Run.objects.count() == 60
    assert TimelineEntry.objects.filter(type="run.created").count() == 60
    assert statuses() == {"dispatched": 60}


def test_workflows_take_turns_and_within_one_the_oldest_goes_first(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "BATCH", 6)
    flood = events(20)
    others = [events(1)[0] for _ in range(4)]

    dispatcher.dispatch_batch(SHARD)

    dispatched = set(OutboxEvent.objects.filter(status="dispatched").values_list("pk", flat=True))
    assert dispatched == {event.pk for event in [*flood[:2], *others]}


def test_an_event_that_another_dispatcher_holds_is_not_waited_for(bellboy: Bellboy) -> None:
    held, free = events(2)
    is_locked, may_end = threading.Event(), threading.Event()

    def other() -> None:
        with transaction.atomic():
            OutboxEvent.objects.select_for_update().get(pk=held.pk)
            is_locked.set()
            assert may_end.wait(10)

    def dispatch() -> dispatcher.Batch:
        assert is_locked.wait(10)
        batch = dispatcher.dispatch_batch(SHARD)
        may_end.set()
        return batch

    ended, batch = race(other, dispatch)

    assert ended is None
    assert (batch.picked, batch.taken) == (2, 1)
    assert Run.objects.get().event == free


def test_other_shards_are_left_alone(bellboy: Bellboy) -> None:
    events(1, shard=SHARD + 1)

    assert dispatcher.dispatch_shard(SHARD) == 0


def test_events_of_an_archived_workflow_are_ignored_and_say_why(bellboy: Bellboy) -> None:
    (event,) = events(1)
    services.archive(workflow_id=event.workflow_id, by=BY)

    dispatcher.dispatch_shard(SHARD)

    event.refresh_from_db()
    assert event.status == "ignored"
    assert event.error_code
    assert event.error_code.endswith("archived")
    assert Run.objects.count() == 0


def test_a_paused_workflows_events_are_dispatched(bellboy: Bellboy) -> None:
    """Pause stops the capture of new events, not what was captured before."""
    (event,) = events(1)
    services.pause(workflow_id=event.workflow_id, by=BY)

    dispatcher.dispatch_shard(SHARD)

    assert statuses() == {"dispatched": 1}


def test_an_event_too_deep_in_a_chain_of_workflows_is_ignored(bellboy: Bellboy, settings: Any) -> None:
    settings.LIGHTFIELD_MAX_DEPTH = 3
    events(1, depth=3)
    (deep,) = events(1, depth=4)

    dispatcher.dispatch_shard(SHARD)

    deep.refresh_from_db()
    assert (deep.status, deep.error_code) == ("ignored", "run.depth_exceeded")
    assert statuses() == {"dispatched": 1, "ignored": 1}


def test_an_event_whose_run_exists_already_makes_no_second_one(bellboy: Bellboy) -> None:
    (event,) = events(1)
    dispatcher.dispatch_shard(SHARD)
    OutboxEvent.objects.filter(pk=event.pk).update(status="pending")

    dispatcher.dispatch_shard(SHARD)

    assert Run.objects.count() == 1
    assert statuses() == {"dispatched": 1}


def test_an_event_that_was_dispatched_meanwhile_is_not_taken_again(bellboy: Bellboy) -> None:
    """Chosen by a look that is older than somebody else's COMMIT: the status is asked again under the lock."""
    (event,) = events(1)
    dispatcher.dispatch_batch(SHARD)

    batch = dispatcher._run(dispatcher.ONE, {"event_id": str(event.pk)})

    assert (batch.picked, batch.taken) == (1, 0)
    assert Run.objects.count() == 1


def test_given_an_event_that_commits_after_a_younger_one_was_dispatched_then_it_is_dispatched_too(
    bellboy: Bellboy,
) -> None:
    """Ids are drawn before the commit, so they do not arrive in order: what waits is a status, not a place."""
    late = uuid7()
    (younger,) = events(1)
    dispatcher.dispatch_shard(SHARD)
    an_event(younger.workflow, id=late, shard=SHARD, payload={"n": 1})

    assert dispatcher.dispatch_shard(SHARD) == 1
    assert statuses() == {"dispatched": 2}


def test_a_run_stays_on_the_version_of_its_capture(bellboy: Bellboy) -> None:
    (event,) = events(1)
    services.update_draft(workflow_id=event.workflow_id, changes={"steps": [say("other")]}, by=BY)
    services.publish(workflow_id=event.workflow_id, by=BY)

    dispatcher.dispatch_shard(SHARD)

    run = Run.objects.get()
    assert run.version == event.version
    assert [step.key for step in run.steps.all()] == ["call"]


def test_runs_that_begin_with_fast_steps_are_run_at_once(bellboy: Bellboy) -> None:
    events(3, workflow=a_published_workflow(steps=[say("one"), say("two"), slow()]))

    dispatcher.dispatch_shard(SHARD)

    assert set(Run.objects.values_list("status", flat=True)) == {"running"}
    assert bellboy.names() == ["execute_steps"]  # all three in one message


def test_a_turn_that_takes_too_long_goes_on_in_another_message(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "BATCH", 4)
    monkeypatch.setattr(dispatcher, "TURN_SECONDS", 0.0)
    events(10)

    assert dispatcher.dispatch_shard(SHARD) == 4
    assert bellboy.names() == ["execute_steps", "dispatch_shard"]
    assert bellboy.rung[-1].forced  # its own flag may stand

    bellboy.answer_all()
    assert statuses() == {"dispatched": 10}


def test_given_a_lock_that_is_never_given_back_when_dispatched_then_no_event_is_blamed(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event,) = events(1)
    sql.rows("SET lock_timeout = '50ms'", {})
    is_made, may_end = threading.Event(), threading.Event()

    def other() -> None:
        with transaction.atomic():  # a run of the same event and generation, not committed yet
            Run.objects.create(
                event=event, workflow=event.workflow, version=event.version, trace_id="", seq=1
            )
            is_made.set()
            assert may_end.wait(20)
            transaction.set_rollback(True)

    def dispatch() -> None:
        assert is_made.wait(10)
        sql.rows("SET lock_timeout = '50ms'", {})
        try:
            dispatcher.dispatch_batch(SHARD)
        finally:
            may_end.set()

    error = race(other, dispatch)[1]

    assert isinstance(error, OperationalError)
    assert OutboxEvent.objects.get().tries == 0
    assert dispatcher.dispatch_batch(SHARD).taken == 1
