"""A run from its event to its end, through the real tasks on a real database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from executions.models import Attempt, Effect, Run, StepRun
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow, an_event
from tests.scripted import ScriptedSlow

pytestmark = pytest.mark.django_db(transaction=True)


def slow(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "slow", "config": {"value": "{{ trigger.n }}"}, **more}


def run_of(event: Any) -> Run:
    return Run.objects.get(event=event)


def told(run: Run) -> list[str]:
    return [entry.type for entry in run.timeline.all()]


def dispatch(bellboy: Bellboy, workflow: Any, **columns: Any) -> Any:
    from lightfield.kernel import bells

    event = an_event(workflow, **columns)
    bells.ring_dispatch(event.shard)
    return event


def test_three_slow_steps_run_in_order_and_tell_it(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    workflow = a_published_workflow(steps=[slow("one"), slow("two"), slow("three")])

    event = dispatch(bellboy, workflow, payload={"n": 7})
    bellboy.answer_all()

    run = run_of(event)
    assert run.status == "completed"
    assert told(run) == [
        "run.created",
        "run.started",
        *["step.started", "step.completed"] * 3,
        "run.completed",
    ]
    assert [context.step_key for _, context in slow_step.sent] == ["one", "two", "three"]
    assert slow_step.sent[0][0] == {"value": 7}
    assert Effect.objects.filter(status="done").count() == 3
    assert [entry.seq for entry in run.timeline.all()] == list(range(1, run.seq + 1))


def test_continuation_needs_no_message_for_the_second_and_third_step(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    workflow = a_published_workflow(steps=[slow("one"), slow("two"), slow("three")])

    dispatch(bellboy, workflow, payload={"n": 7})
    bellboy.answer_all()

    assert bellboy.names() == ["dispatch_shard", "execute_steps"]


def test_a_transient_failure_is_retried_under_the_same_key(
    bellboy: Bellboy, slow_step: ScriptedSlow, due_now: Any
) -> None:
    answers = iter([TransientStepError("http.unavailable", sent=True, answered=True, status_code=503)] * 2)

    def script(request: Any, context: Any) -> dict[str, Any]:
        for error in answers:
            raise error
        return {"status_code": 200}

    slow_step.script = script
    workflow = a_published_workflow(steps=[slow("one")])
    event = dispatch(bellboy, workflow, payload={"n": 7})
    for _ in range(3):
        bellboy.answer_all()
        due_now()

    run = run_of(event)
    assert run.status == "completed"
    assert told(run) == [
        "run.created",
        "run.started",
        *["step.started", "step.retrying"] * 2,
        "step.started",
        "step.completed",
        "run.completed",
    ]
    assert [a.outcome for a in Attempt.objects.order_by("number")] == ["refused", "refused", "ok"]
    assert len({context.idempotency_key for _, context in slow_step.sent}) == 1
    retrying = run.timeline.filter(type="step.retrying").first()
    assert retrying is not None
    assert {"error_code", "delay_seconds", "due_at"} <= set(retrying.metadata)


def test_a_permanent_failure_fails_the_run_and_skips_the_rest(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        raise PermanentStepError("http.client_error", sent=True, answered=True, status_code=400)

    slow_step.script = script
    workflow = a_published_workflow(
        steps=[slow("one"), slow("two"), {"key": "say", "type": "log", "config": {"message": "x"}}]
    )
    event = dispatch(bellboy, workflow, payload={"n": 7})
    bellboy.answer_all()

    run = run_of(event)
    assert (run.status, run.error_code) == ("failed", "http.client_error")
    assert [(s.key, s.status, s.attempts) for s in run.steps.all()] == [
        ("one", "failed", 1),
        ("two", "skipped", 0),
        ("say", "skipped", 0),
    ]
    assert told(run)[-4:] == ["step.failed", "step.skipped", "step.skipped", "run.failed"]
    assert Effect.objects.get().status == "done"  # a refusal is a final answer


def test_fast_steps_and_conditions(bellboy: Bellboy) -> None:
    workflow = a_published_workflow(
        steps=[
            {"key": "say", "type": "log", "config": {"message": "n is {{ trigger.n }}"}},
            {
                "key": "big",
                "type": "condition",
                "config": {"left": "{{ trigger.n }}", "operator": "gt", "right": 5},
            },
            {"key": "again", "type": "log", "config": {"message": "big: {{ big.passed }}"}},
        ]
    )
    big, small = dispatch(bellboy, workflow, payload={"n": 9}), dispatch(bellboy, workflow, payload={"n": 1})
    bellboy.answer_all()

    assert [s.status for s in run_of(big).steps.all()] == ["completed", "completed", "completed"]
    assert [s.status for s in run_of(small).steps.all()] == ["completed", "completed", "skipped"]
    assert run_of(small).status == "completed"
    assert run_of(big).steps.get(key="again").output == {"message": "big: true"}
    assert "step.logged" in told(run_of(big))


def test_a_sleep_waits_in_the_database_and_wakes_once(bellboy: Bellboy, due_now: Any) -> None:
    workflow = a_published_workflow(
        steps=[
            {"key": "nap", "type": "sleep", "config": {"seconds": 3600}},
            {"key": "say", "type": "log", "config": {"message": "awake at {{ nap.until }}"}},
        ]
    )
    event = dispatch(bellboy, workflow)
    bellboy.answer_all()
    assert run_of(event).status == "waiting"
    assert StepRun.objects.get(run=run_of(event)).status == "waiting"

    due_now()
    bellboy.answer_all()

    run = run_of(event)
    assert run.status == "completed"
    assert told(run) == [
        "run.created", "run.started", "step.started", "step.waiting", "step.completed",
        "step.started", "step.logged", "step.completed", "run.completed",
    ]  # fmt: skip


def test_an_unresolved_template_fails_at_once(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    workflow = a_published_workflow(steps=[slow("one"), slow("two")])
    event = dispatch(bellboy, workflow, payload={})
    bellboy.answer_all()

    run = run_of(event)
    assert (run.status, run.error_code) == ("failed", "template.unresolved")
    assert run.steps.get(key="one").attempts == 1
    assert slow_step.sent == []
    assert Effect.objects.count() == 0


def test_given_a_clock_that_is_set_back_then_the_story_still_goes_forward(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    def from_tomorrow(request: Any, context: Any) -> dict[str, Any]:
        """All that was told so far came from a clock that was a day ahead."""
        Run.objects.update(last_at=F("last_at") + timedelta(days=1))
        return {}

    slow_step.script = from_tomorrow
    event = dispatch(bellboy, a_published_workflow(steps=[slow("one"), slow("two")]), payload={"n": 7})
    bellboy.answer_all()

    run = run_of(event)
    instants = [entry.at for entry in run.timeline.all()]
    assert run.status == "completed"
    assert instants == sorted(instants)
    assert instants[-1] - run.created_at > timedelta(days=2)
