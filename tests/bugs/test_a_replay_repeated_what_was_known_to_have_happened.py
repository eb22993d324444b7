"""A step was cancelled while its request was out; the answer said 200; the replay sent it under a new key.

A receiver that honours keys acted twice. The same went for a 200 whose body was too large to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from executions import services, worker
from executions.models import Effect, Run
from lightfield.kernel.errors import PermanentStepError
from tests.bellboy import Bellboy
from tests.factories import BY
from tests.scripted import ScriptedSlow
from tests.staging import a_queued_step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def keys_after_replay(bellboy: Bellboy, slow_step: ScriptedSlow, first: Callable[[Any], Any]) -> list[str]:
    scripts = iter([lambda request, context: first(context), lambda request, context: {"status_code": 200}])
    slow_step.script = lambda request, context: next(scripts)(request, context)
    step = a_queued_step()
    worker.execute([step.pk])
    assert Effect.objects.get().status == "done"

    again = services.replay_run(run_id=step.run_id, by=BY)
    bellboy.answer_all()

    assert Run.objects.get(pk=again.pk).status == "completed"
    return [context.idempotency_key for _, context in slow_step.sent]


def test_given_success_after_a_cancel_then_the_replay_keeps_the_key(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    def succeed_too_late(context: Any) -> dict[str, Any]:
        services.cancel_run(run_id=context.run_id, by=BY)
        return {"status_code": 201}

    first, second = keys_after_replay(bellboy, slow_step, succeed_too_late)
    assert first == second


def test_given_success_with_an_unusable_output_then_the_replay_keeps_the_key(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    first, second = keys_after_replay(
        bellboy, slow_step, lambda context: {"status_code": 200, "body": "x" * 2_000_000}
    )
    assert first == second


def test_given_a_refusal_after_a_cancel_then_the_replay_has_a_new_key(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    def refuse_too_late(context: Any) -> dict[str, Any]:
        services.cancel_run(run_id=context.run_id, by=BY)
        raise PermanentStepError("http.client_error", sent=True, answered=True, status_code=409)

    first, second = keys_after_replay(bellboy, slow_step, refuse_too_late)
    assert first != second
