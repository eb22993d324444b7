"""The next step's request is frozen before the outcome of the step before it is written, where nothing can go wrong by it."""

from __future__ import annotations

from typing import Any

import pytest

from executions import worker
from executions.looking_ahead import next_intent
from executions.models import Attempt, Effect, Run, StepRun
from lightfield.kernel.errors import PermanentStepError
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow
from tests.scripted import ScriptedSlow, installed
from tests.staging import a_claimed_step, a_queued_step, slow

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]
OUTPUT = {"answer": 42}


def looked_ahead(following: dict[str, Any], request: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """What is said of the step `following` while the one before it has just been answered."""
    step = a_claimed_step(workflow=a_published_workflow(steps=[slow("one"), following]))
    return next_intent(step, request or {"value": 7}, OUTPUT)


def test_the_request_is_made_of_the_output_that_is_still_to_be_written(bellboy: Bellboy) -> None:
    intent = looked_ahead(slow("two", config={"value": "{{ one.answer }}"}))

    assert intent is not None
    assert intent["request"] == {"value": 42}
    assert intent["key"].endswith(":two")


def test_a_step_continues_with_its_intent_already_in_the_ledger(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    seen: list[tuple[str, bool]] = []

    def send(request: dict[str, Any], context: Any) -> dict[str, Any]:
        live = StepRun.objects.get(run_id=context.run_id, status="running")
        attempt = Attempt.objects.get(step_run=live)
        intended_with_the_start = attempt.intent_at == attempt.started_at
        seen.append((Effect.objects.get(step_run=live).status, intended_with_the_start))
        return OUTPUT

    slow_step.script = send

    worker.execute([a_queued_step(slow("one"), slow("two")).pk])

    assert seen == [("intent", False), ("intent", True)]
    assert Run.objects.get().status == "completed"


@pytest.mark.parametrize(
    ("following", "request_of_this"),
    [
        (slow("two"), {"on_unknown": "fail"}),
        (slow("two", config={"on_unknown": "fail"}), None),
        ({"key": "two", "type": "log", "config": {"message": "x"}}, None),
    ],
    ids=["this one may not be sent twice", "the next one may not", "the next one is fast"],
)
def test_where_something_could_go_wrong_by_it_nobody_looks_ahead(
    bellboy: Bellboy, following: dict[str, Any], request_of_this: dict[str, Any] | None
) -> None:
    assert looked_ahead(following, request_of_this) is None


def test_a_step_type_that_does_not_say_that_it_only_computes_is_not_asked_early(bellboy: Bellboy) -> None:
    with installed("heavy", freezes_early=False):
        assert looked_ahead({"key": "two", "type": "heavy", "config": {}}) is None


def test_given_a_request_that_cannot_be_made_then_the_step_itself_fails_by_it_after_the_outcome_before(
    bellboy: Bellboy,
) -> None:
    def freeze(self: Any, config: Any) -> dict[str, Any]:
        raise PermanentStepError("config.invalid", "No.")

    with installed("impossible", freeze=freeze):
        worker.execute([a_queued_step(slow("one"), {"key": "two", "type": "impossible", "config": {}}).pk])

    assert dict(StepRun.objects.values_list("key", "status")) == {"one": "completed", "two": "failed"}
    assert Run.objects.get().error_code == "config.invalid"
    assert Effect.objects.count() == 1
