"""A step whose rendering ends the worker had the step before it sent again.

A worker that continues renders the next request before it has written the outcome of the step that was answered. What
dies then takes that outcome with it.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from executions import worker
from executions.models import StepRun
from tests.bellboy import Bellboy
from tests.scripted import ScriptedSlow
from tests.staging import a_queued_step, slow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def test_given_a_next_request_that_ends_its_thread_then_the_outcome_before_it_is_written(
    bellboy: Bellboy, slow_step: ScriptedSlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        type(slow_step), "freezes_early", False
    )  # as of any step type that does not say otherwise
    freeze, calls = slow_step.freeze, []

    def freeze_or_exit(config: Any) -> dict[str, Any]:
        calls.append(config)
        if len(calls) == 2:
            raise SystemExit(1)
        return freeze(config)

    slow_step.freeze = freeze_or_exit  # type: ignore[method-assign]
    step = a_queued_step(slow("one"), slow("two"))
    with contextlib.suppress(SystemExit):
        worker.execute([step.pk])

    assert StepRun.objects.get(pk=step.pk).status == "completed"
