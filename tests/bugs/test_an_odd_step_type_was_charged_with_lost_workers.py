"""What a step type may get wrong is its own step's failure, at once.

Requests and errors that PostgreSQL cannot keep, outputs that are no objects: each left its step `running`, and
the steps whose intents were committed with it, until leases ran out and cells lost it three times.
"""

from __future__ import annotations

from typing import Any

import pytest

from executions import engine, worker
from executions.models import Run, StepRun
from lightfield.kernel.errors import TransientStepError
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow
from tests.scripted import ScriptedFast, ScriptedSlow, installed
from tests.staging import a_queued_step, a_run, slow
from workflows.step_types import Wait

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def test_a_request_that_cannot_be_kept_fails_alone(bellboy: Bellboy, slow_step: Any) -> None:
    slow_step.freeze = lambda config: {"text": "\0" if config.value == 1 else "fine"}
    workflow = a_published_workflow(steps=[slow()])
    bad, good = [a_queued_step(workflow=workflow, payload={"n": number}) for number in (1, 2)]

    worker.execute([bad.pk, good.pk])

    assert StepRun.objects.get(pk=good.pk).status == "completed"
    failed = StepRun.objects.get(pk=bad.pk)
    assert (failed.status, failed.error_code) == ("failed", "config.invalid")


@pytest.mark.parametrize("output", [["a list"], None, "text", {"ratio": float("inf")}, {1: 2}])
def test_an_output_that_is_no_json_object(bellboy: Bellboy, slow_step: ScriptedSlow, output: Any) -> None:
    slow_step.script = lambda request, context: output
    step = a_queued_step()

    worker.execute([step.pk])

    step.refresh_from_db()
    assert (step.status, step.error_code) == ("failed", "step.invalid_output")


@pytest.mark.parametrize(
    "error", [ValueError("\0 and \ud800"), TransientStepError("http.timeout", junk="\0")]
)
def test_an_error_that_cannot_be_kept_is_kept_all_the_same(
    bellboy: Bellboy, slow_step: ScriptedSlow, error: Exception
) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        raise error

    slow_step.script = script
    step = a_queued_step()

    worker.execute([step.pk])

    step.refresh_from_db()
    assert step.status == "waiting"
    assert step.error
    assert step.error["metadata"]["attempt"] == 1


def test_metadata_called_cause_of_an_unknown_outcome(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        raise TransientStepError("http.connection_lost", sent=True, cause="reset", url_host="example.com")

    slow_step.script = script
    step = a_queued_step(slow() | {"config": {"on_unknown": "fail"}})

    worker.execute([step.pk])

    step.refresh_from_db()
    assert (step.status, step.error_code) == ("failed", "http.outcome_unknown")
    assert step.error
    assert step.error["metadata"] == {
        "attempt": 1,
        "cause": "http.connection_lost",
        "url_host": "example.com",
    }


@pytest.mark.parametrize(
    "result", [None, {"a": 1}, Wait(float("inf")), Wait(float("nan")), Wait(-1), Wait(1e12)]
)
def test_a_fast_step_that_returns_nonsense(bellboy: Bellboy, result: Any) -> None:
    with installed("odd", ScriptedFast) as odd:
        odd.script = lambda config, context: result
        run = a_run({"key": "one", "type": "odd", "config": {}})
        engine.advance([str(run.pk)])

    run = Run.objects.get(pk=run.pk)
    assert (run.status, run.error_code) == ("failed", "step.invalid_output")
