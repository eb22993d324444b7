"""The step type `sleep`."""

from __future__ import annotations

import pytest

from executions.steps.sleep import Sleep
from lightfield.kernel.errors import PermanentStepError
from workflows.step_types import StepContext, Wait, load_config, validate_config

SLEEP = Sleep()
CONTEXT = StepContext(
    run_id="r", step_key="nap", attempt=1, trace_id="0" * 32, idempotency_key="k", deadline=0.0
)


@pytest.mark.parametrize(
    ("seconds", "wait"), [(90, 90), (0, 0), (0.5, 0.5), ("90", 90), (31_536_000, 31_536_000)]
)
def test_sleep_asks_to_be_woken_later(seconds, wait):
    assert SLEEP.execute(load_config(SLEEP, {"seconds": seconds}), CONTEXT) == Wait(wait)


@pytest.mark.parametrize("seconds", [-1, 31_536_001, True, None, "soon", float("inf"), float("nan"), [1]])
def test_sleep_refuses_what_is_no_duration(seconds):
    assert [problem.pointer for problem in validate_config(SLEEP, {"seconds": seconds})] == ["/seconds"]
    with pytest.raises(PermanentStepError, match=r"config\.invalid"):
        load_config(SLEEP, {"seconds": seconds})


def test_sleep_needs_seconds_and_nothing_else():
    problems = validate_config(SLEEP, {"minutes": 1})
    assert [problem.pointer for problem in problems] == ["/seconds", "/minutes"]


def test_seconds_may_come_from_a_template():
    assert validate_config(SLEEP, {"seconds": "{{ trigger.delay | times: 60 }}"}) == []
