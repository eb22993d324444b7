"""What a step type returned, before it is kept."""

from __future__ import annotations

import math
from typing import Any

import pytest

from executions.attempts import checked_output
from lightfield.kernel.errors import PermanentStepError


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ({"text": "x" * (1 << 20)}, "step.output_too_large"),
        ({"items": list(range(10_001))}, "step.output_too_large"),
        (nested(33), "step.output_too_large"),
        ({"ratio": math.inf}, "step.invalid_output"),
        ({"text": "a\0"}, "step.invalid_output"),
        (["a list"], "step.invalid_output"),
        (None, "step.invalid_output"),
    ],
)
def test_an_output_that_cannot_be_kept_is_a_permanent_failure_of_a_step_that_was_answered(output, code):
    with pytest.raises(PermanentStepError) as refused:
        checked_output(output)

    assert refused.value.code == code
    assert refused.value.answered


def test_the_status_of_the_answer_is_told_though_its_body_cannot_be_kept():
    with pytest.raises(PermanentStepError) as refused:
        checked_output({"status_code": 201, "body": "x" * (1 << 20)})

    assert refused.value.metadata["status_code"] == 201
