"""What a step does is done for its run: while its own code runs, in whatever thread, and at no other moment."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from executions import cells, engine, services
from executions.models import Run
from lightfield.kernel import bells, sql
from lightfield.kernel.errors import PermanentStepError
from tests.bellboy import Bellboy
from tests.factories import BY, a_published_workflow, an_event
from tests.leading_on import a_starter, append, play, starting_others
from tests.scripted import ScriptedFast, ScriptedSlow, installed
from tests.staging import a_queued_step, a_run, claim, end_lease, slow
from triggers import causes, outbox
from triggers.causes import Cause
from triggers.models import OutboxEvent, Trigger
from workflows.step_types import Completed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

FAST = {"key": "work", "type": "work", "config": {}}


class Seen(list[Cause | None]):
    """For whom code acted, each time that it was reached."""

    def fast(self, config: Any, context: Any) -> Completed:
        self.append(causes.current())
        return Completed({})

    def slow(self, *_: Any) -> dict[str, Any]:
        self.append(causes.current())
        return {}


def cause_of(run: Run) -> Cause:
    return Cause(run.pk, run.workflow_id, run.trace_id, run.event.depth)


def test_a_fast_step_acts_for_its_run(bellboy: Bellboy) -> None:
    seen = Seen()
    with installed("work", ScriptedFast) as work:
        work.script = seen.fast
        run = play(bellboy, a_published_workflow(steps=[FAST, {**FAST, "key": "again"}]), depth=3)

    assert seen == [cause_of(run)] * 2
    assert seen[0] is not None
    assert seen[0].depth == 3


def test_a_slow_step_acts_for_its_run_when_it_freezes_and_when_it_sends(
    bellboy: Bellboy, slow_step: ScriptedSlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next step's request is frozen early, with the outcome before it: for the same run."""
    frozen, sent = Seen(), Seen()
    monkeypatch.setattr(slow_step, "freeze", frozen.slow)
    slow_step.script = sent.slow

    run = play(bellboy, a_published_workflow(steps=[slow("one"), slow("two")]), payload={"n": 1}, depth=2)

    assert frozen == sent == [cause_of(run)] * 2


def test_given_many_runs_side_by_side_then_each_thread_acts_for_its_own(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    """All eight of a message are sent at the same time."""
    together = threading.Barrier(8)
    seen: dict[str, Cause | None] = {}

    def send(request: Any, context: Any) -> dict[str, Any]:
        together.wait(20)
        seen[context.run_id] = causes.current()
        together.wait(20)
        return {}

    slow_step.script = send
    workflow = a_published_workflow(steps=[slow()])
    for n in range(8):
        event = an_event(workflow, payload={"n": n}, depth=n)
        bells.ring_dispatch(event.shard)
    bellboy.answer_all()

    assert seen == {str(run.pk): cause_of(run) for run in Run.objects.all()}
    assert len(seen) == 8


@pytest.mark.parametrize("lane", ["http", "fast"])
def test_a_step_in_a_cell_acts_for_its_run(bellboy: Bellboy, slow_step: ScriptedSlow, lane: str) -> None:
    seen = Seen()
    slow_step.script = seen.slow
    with installed("work", ScriptedFast) as work:
        work.script = seen.fast
        if lane == "http":
            step = a_queued_step(slow(), depth=1)
            claim(step.pk)
            end_lease(step.pk)
        else:
            step = a_run(FAST, depth=1).steps.get()
            sql.rows("UPDATE executions_steprun SET rings = 3 WHERE id = %(id)s::bigint", {"id": step.pk})

        cells.run_here([step.pk], lane)

    assert seen == [cause_of(step.run)]
    assert causes.current() is None


@pytest.mark.parametrize("error", [PermanentStepError("config.invalid"), ZeroDivisionError(), SystemExit()])
def test_given_a_step_that_raises_then_its_thread_acts_for_nobody_afterwards(
    bellboy: Bellboy, error: BaseException
) -> None:
    def fail(config: Any, context: Any) -> Any:
        raise error

    with installed("work", ScriptedFast) as work:
        work.script = fail
        run = a_run(FAST)
        with contextlib.suppress(SystemExit):
            engine.advance([str(run.pk)])

    assert causes.current() is None


def test_the_engine_itself_acts_for_nobody(
    bellboy: Bellboy, slow_step: ScriptedSlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked or written between two steps, rings included."""
    seen: set[Cause | None] = set()
    send, ring = sql.rows, bellboy.ring

    def rows(statement: str, params: Any) -> Any:
        seen.add(causes.current())
        return send(statement, params)

    def rung(bell: Any) -> None:
        seen.add(causes.current())
        ring(bell)

    monkeypatch.setattr(sql, "rows", rows)
    monkeypatch.setattr(bellboy, "ring", rung)
    with installed("work", ScriptedFast):
        run = play(
            bellboy,
            a_published_workflow(steps=[FAST, slow("one"), slow("two"), FAST | {"key": "end"}]),
            payload={"n": 1},
        )

    run.refresh_from_db()
    assert run.status == "completed"
    assert seen == {None}


def test_what_a_step_leads_to_carries_its_run_its_trace_and_one_depth_more(bellboy: Bellboy) -> None:
    with starting_others():
        a_starter("third")
        a_starter("second", "third")
        first = play(bellboy, a_starter("first", "second"))

    events = list(OutboxEvent.objects.order_by("depth"))
    runs = [Run.objects.get(event=event) for event in events]
    assert [event.depth for event in events] == [0, 1, 2]
    assert [event.caused_by for event in events] == [None, first.pk, runs[1].pk]
    assert {event.trace_id for event in events} == {run.trace_id for run in runs} == {first.trace_id}


def test_given_a_replay_then_what_it_leads_to_was_caused_by_the_replay(bellboy: Bellboy) -> None:
    other = a_published_workflow()

    def fail(config: Any, context: Any) -> Any:
        raise PermanentStepError("config.invalid")

    def mend(config: Any, context: Any) -> Any:
        append(other)
        return Completed({})

    with installed("work", ScriptedFast) as work:
        work.script = fail
        failed = play(bellboy, a_published_workflow(steps=[FAST]), depth=4)
        work.script = mend
        again = services.replay_run(run_id=failed.pk, by=BY)
        bellboy.answer_all()

    event = OutboxEvent.objects.get(workflow=other)
    assert (event.caused_by, event.depth, event.trace_id) == (again.pk, 5, failed.trace_id)


def test_given_a_step_that_hands_its_context_to_a_thread_then_that_thread_acts_for_the_run(
    bellboy: Bellboy,
) -> None:
    """As CONTRIBUTING.md advises."""
    seen: list[Cause | None] = []

    def run(config: Any, context: Any) -> Completed:
        copied = contextvars.copy_context()
        thread = threading.Thread(target=copied.run, args=(lambda: seen.append(causes.current()),))
        thread.start()
        thread.join()
        return Completed({})

    with installed("work", ScriptedFast) as work:
        work.script = run
        made = play(bellboy, a_published_workflow(steps=[FAST]))

    assert seen == [cause_of(made)]


def test_a_depth_that_the_column_cannot_hold_spoils_no_ones_change(bellboy: Bellboy) -> None:
    event = an_event(a_published_workflow())
    trigger = Trigger.objects.get(workflow=event.workflow_id)
    with transaction.atomic():
        captured = outbox.append_event(
            trigger=trigger,
            source="record",
            payload={},
            idempotency_key=None,
            trace_id="a" * 32,
            depth=40_000,
            caused_by=UUID(int=7),
        )

    assert OutboxEvent.objects.get(pk=captured.event_id).depth == 32_767
