"""The step type `log`."""

from __future__ import annotations

import pytest

from executions.steps.log import Log
from lightfield.kernel.errors import PermanentStepError
from workflows.expressions import render_config
from workflows.step_types import Completed, StepContext, load_config, validate_config

LOG = Log()
CONTEXT = StepContext(
    run_id="r", step_key="note", attempt=1, trace_id="0" * 32, idempotency_key="k", deadline=0.0
)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("hi", "hi"),
        ("", ""),
        (None, ""),
        (5, "5"),
        (True, "true"),
        ({"a": ["ä"]}, '{"a": ["ä"]}'),
        ("x" * 10_000, "x" * 10_000),
    ],
)
def test_log_writes_its_message_as_text(message, text):
    outcome = LOG.execute(load_config(LOG, {"message": message}), CONTEXT)
    assert outcome == Completed({"message": text}, logged=text)


def test_log_writes_a_rendered_message():
    rendered = render_config({"message": "{{ trigger }}"}, {"trigger": [1, 2]})
    assert LOG.execute(load_config(LOG, rendered), CONTEXT).logged == "[1, 2]"


def test_log_refuses_a_message_that_is_too_long():
    problems = validate_config(LOG, {"message": "x" * 10_001})
    assert [(problem.pointer, problem.detail) for problem in problems] == [
        ("/message", "May have at most 10000 characters.")
    ]
    with pytest.raises(PermanentStepError, match="at most 10000"):
        load_config(LOG, {"message": ["x" * 10_000]})


def test_a_long_template_is_judged_only_after_rendering():
    assert validate_config(LOG, {"message": "{{ trigger.a }}" + "x" * 12_000}) == []


def test_log_needs_a_message():
    assert [problem.pointer for problem in validate_config(LOG, {})] == ["/message"]
