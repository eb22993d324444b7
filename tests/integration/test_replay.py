"""A replay is a new run of the same event: what was done is taken over, what failed begins anew."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from executions import engine, services, worker
from executions.models import Effect, Run, StepRun
from lightfield.access.models import AuditEntry
from lightfield.kernel.errors import PermanentStepError, RequestRefused, StepError, TransientStepError
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import BY
from tests.scripted import ScriptedFast, ScriptedSlow, installed
from tests.staging import a_claimed_step, a_queued_step, a_run, intend, nap, say, slow, told
from workflows import services as workflow_services
from workflows.step_types import Completed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]

REFUSED = PermanentStepError("http.client_error", sent=True, answered=True, status_code=400)
UNANSWERED = PermanentStepError("http.connection_lost", sent=True)
NEVER_SENT = PermanentStepError("http.connect_failed")


def replay(run_id: Any) -> Run:
    return services.replay_run(run_id=run_id, by=BY)


def a_failed_run(slow_step: ScriptedSlow, error: StepError, *steps: dict[str, Any]) -> Run:
    """Its last slow step failed with `error`; every later attempt of any step succeeds."""
    failing = [step["key"] for step in steps or [slow()] if step["type"] == "slow"][-1]
    errors = iter([error])

    def script(request: Any, context: Any) -> dict[str, Any]:
        if context.step_key == failing:
            for error in errors:
                raise error
        return {"status_code": 200, "from": context.step_key}

    slow_step.script = script
    step = a_queued_step(*steps)
    worker.execute([step.pk])
    run = Run.objects.get(pk=step.run_id)
    assert run.status == "failed"
    return run


def test_done_steps_are_taken_over_with_their_outputs(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    reader = slow("two") | {"config": {"value": "{{ one.from }}"}}
    failed = a_failed_run(slow_step, REFUSED, slow("one"), reader, say())
    slow_step.sent.clear()

    run = replay(failed.pk)
    bellboy.answer_all()

    run.refresh_from_db()
    assert (run.status, run.generation, run.replay_of_id) == ("completed", 2, failed.pk)
    assert (run.event, run.version, run.trace_id) == (failed.event, failed.version, failed.trace_id)
    assert [(s.key, s.status, s.reused, s.attempts) for s in run.steps.all()] == [
        ("one", "completed", True, 0),
        ("two", "completed", False, 1),
        ("say", "completed", False, 1),
    ]
    assert [(context.step_key, request) for request, context in slow_step.sent] == [("two", {"value": "one"})]
    created = run.timeline.get(type="run.created")
    assert created.metadata == {"event_id": str(run.event_id), "replay_of": str(failed.pk)}


def test_the_old_run_stays_as_it_ended(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    failed = a_failed_run(slow_step, REFUSED)
    before = told(failed)

    replay(failed.pk)
    bellboy.answer_all()

    again = Run.objects.get(pk=failed.pk)
    assert (again.status, again.error_code, again.seq) == ("failed", "http.client_error", failed.seq)
    assert told(again) == before


def test_it_runs_the_version_of_its_event_whatever_was_published_since(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    failed = a_failed_run(slow_step, REFUSED)
    workflow_services.update_draft(workflow_id=failed.workflow_id, changes={"steps": [say("other")]}, by=BY)
    workflow_services.publish(workflow_id=failed.workflow_id, by=BY)

    run = replay(failed.pk)
    bellboy.answer_all()

    assert [step.key for step in run.steps.all()] == ["call"]


def test_a_cancelled_run_can_be_replayed(bellboy: Bellboy) -> None:
    cancelled = services.cancel_run(run_id=a_run(nap(), say()).pk, by=BY)

    run = replay(cancelled.pk)
    assert bellboy.names()[-1] == "advance"
    bellboy.answer_all()

    assert StepRun.objects.get(run=run).status == "waiting"


def test_a_failed_fast_step_begins_anew(bellboy: Bellboy) -> None:
    with installed("flaky", ScriptedFast) as flaky:
        flaky.script = lambda config, context: 1 / 0
        failed = a_run({"key": "one", "type": "flaky", "config": {}, "retry": {"max_attempts": 1}})
        engine.advance([str(failed.pk)])
        flaky.script = lambda config, context: Completed({})

        run = replay(failed.pk)
        bellboy.answer_all()

    run.refresh_from_db()
    assert run.status == "completed"


@pytest.mark.parametrize(
    ("error", "believed", "keeps"),
    [(REFUSED, "done", False), (NEVER_SENT, "abandoned", False), (UNANSWERED, "unknown", True)],
)
def test_only_what_may_have_happened_keeps_its_key_and_request(
    bellboy: Bellboy, slow_step: ScriptedSlow, error: StepError, believed: str, keeps: bool
) -> None:
    failed = a_failed_run(slow_step, error)
    effect = Effect.objects.get()
    assert effect.status == believed

    replay(failed.pk)
    bellboy.answer_all()

    first, second = [context.idempotency_key for _, context in slow_step.sent]
    assert (first == second) is keeps
    assert slow_step.sent[0][0] == slow_step.sent[1][0]
    kept = Effect.objects.exclude(pk=effect.pk).get()
    assert bytes(kept.request_digest) == bytes(effect.request_digest)
    assert kept.status == "done"
    effect.refresh_from_db()
    assert effect.status == believed  # decided once


def test_a_kept_request_is_not_rendered_again(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    failed = a_failed_run(slow_step, UNANSWERED)
    slow_step.freeze = lambda config: {"rendered": "anew"}  # type: ignore[method-assign]

    replay(failed.pk)
    bellboy.answer_all()

    assert slow_step.sent[1][0] == {"value": 7}


def test_an_effect_still_undecided_keeps_its_key(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    """The cancelled run's worker may be sending at this moment."""
    step = a_claimed_step()
    intend(step)
    services.cancel_run(run_id=step.run_id, by=BY)  # type: ignore[arg-type]

    replay(step.run_id)
    bellboy.answer_all()

    assert [context.idempotency_key for _, context in slow_step.sent] == [step.effect_key]


def test_of_eight_replays_one_makes_a_run(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    failed = a_failed_run(slow_step, REFUSED)

    results = race(*[lambda: replay(failed.pk)] * 8)

    assert [type(result) for result in results].count(Run) == 1
    assert {result.code for result in results if isinstance(result, RequestRefused)} == {"run.not_latest"}
    assert Run.objects.count() == 2
    assert AuditEntry.objects.filter(action="run.replayed").count() == 1


def test_only_the_newest_run_of_an_event_can_be_replayed(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    failed = a_failed_run(slow_step, REFUSED)
    newer = services.cancel_run(run_id=replay(failed.pk).pk, by=BY)

    with pytest.raises(RequestRefused) as refused:
        replay(failed.pk)

    assert refused.value.code == "run.not_latest"
    assert replay(newer.pk).generation == 3


def test_a_run_that_goes_on_or_completed_cannot_be_replayed(bellboy: Bellboy) -> None:
    run = a_run(say())
    with pytest.raises(RequestRefused, match="pending"):
        replay(run.pk)
    engine.advance([str(run.pk)])
    with pytest.raises(RequestRefused, match="completed"):
        replay(run.pk)
    with pytest.raises(Run.DoesNotExist):
        replay(uuid4())


def test_given_a_cancel_that_races_a_replay_then_both_are_whole(bellboy: Bellboy) -> None:
    for _ in range(10):
        run = services.cancel_run(run_id=a_run().pk, by=BY)
        newer = replay(run.pk)
        race(partial(services.cancel_run, run_id=newer.pk, by=BY), partial(replay, newer.pk))
        assert Run.objects.get(pk=newer.pk).status == "cancelled"


def test_attempts_are_counted_from_one_again(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    failed = a_failed_run(slow_step, TransientStepError("http.timeout"), slow(retry={"max_attempts": 1}))

    run = replay(failed.pk)
    bellboy.answer_all()

    assert run.steps.get().attempts == 1
