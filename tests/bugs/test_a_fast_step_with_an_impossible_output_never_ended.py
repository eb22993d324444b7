"""A fast step whose output could not be kept was settled like an answered request: with an effect it never had.

The settlement found no effect to decide, called that a lost race, and wrote nothing. The run stood still until
its own timeout.
"""

from __future__ import annotations

import math

import pytest

from executions.models import Run
from lightfield.kernel import bells
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow, an_event
from tests.scripted import ScriptedFast, installed
from workflows.step_types import Completed


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("promises_kept")
def test_given_a_fast_step_whose_output_cannot_be_kept_then_its_run_fails_at_once(bellboy: Bellboy) -> None:
    with installed("odd", ScriptedFast) as odd:
        odd.script = lambda config, context: Completed({"ratio": math.nan})
        event = an_event(a_published_workflow(steps=[{"key": "one", "type": "odd", "config": {}}]))
        bells.ring_dispatch(event.shard)
        bellboy.answer_all()

    run = Run.objects.get(event=event)
    assert (run.status, run.error_code) == ("failed", "step.invalid_output")
    assert run.steps.get().attempts == 1
