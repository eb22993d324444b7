"""A sleep or backoff of a fast step whose bells were lost three times was rung to a cell, which left it alone."""

from __future__ import annotations

from typing import Any

import pytest

from executions import engine, sweeper
from executions.models import StepRun
from lightfield.kernel import sql
from lightfield.kernel.errors import TransientStepError
from tests.bellboy import Bellboy
from tests.scripted import ScriptedFast, installed
from tests.staging import a_run, answer_with_cells_here, nap
from workflows.step_types import Completed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def sweep_unheard(bellboy: Bellboy, times: int) -> None:
    """The step is due, and every bell for it is lost."""
    sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp() - interval '1 hour'", {})
    for _ in range(times):
        sql.rows("UPDATE executions_steprun SET rung_at = NULL", {})
        bellboy.lose_all()
        sweeper.sweep()


def test_given_a_sleep_whose_bells_were_lost_when_the_next_is_heard_then_it_wakes(bellboy: Bellboy) -> None:
    run = a_run(nap())
    engine.advance([str(run.pk)])
    assert StepRun.objects.get().status == "waiting"

    sweep_unheard(bellboy, times=5)
    answer_with_cells_here(bellboy)

    run.refresh_from_db()
    assert run.status == "completed"


def test_given_a_backoff_whose_bells_were_lost_when_the_next_is_heard_then_it_is_tried_again(
    bellboy: Bellboy,
) -> None:
    answers: Any = iter([TransientStepError("http.timeout"), None])

    def script(config: Any, context: Any) -> Completed:
        if error := next(answers):
            raise error
        return Completed({})

    with installed("flaky", ScriptedFast) as flaky:
        flaky.script = script
        run = a_run({"key": "one", "type": "flaky", "config": {}})
        engine.advance([str(run.pk)])
        assert StepRun.objects.get().status == "waiting"

        sweep_unheard(bellboy, times=5)
        answer_with_cells_here(bellboy)

    run.refresh_from_db()
    assert run.status == "completed"
    assert list(StepRun.objects.get().tries.values_list("outcome", flat=True)) == ["refused", "ok"]
