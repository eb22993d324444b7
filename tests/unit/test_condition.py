"""The step type `condition`."""

from __future__ import annotations

from typing import Any

import pytest

from executions.steps.condition import Condition
from workflows.expressions import render_config
from workflows.step_types import Completed, StepContext, load_config, validate_config

CONDITION = Condition()
CONTEXT = StepContext(
    run_id="r", step_key="check", attempt=1, trace_id="0" * 32, idempotency_key="k", deadline=0.0
)


def rule(left: object, operator: str, right: object) -> dict[str, Any]:
    return {"left": left, "operator": operator, "right": right}


YES, NO = rule(1, "is", 1), rule(1, "is", 2)


def nested(depth: int) -> dict[str, Any]:
    config = YES
    for _ in range(depth):
        config = {"all": [config]}
    return config


def outcome(config: dict[str, Any]) -> Completed:
    return CONDITION.execute(load_config(CONDITION, config), CONTEXT)


@pytest.mark.parametrize(
    ("config", "passed"),
    [
        (YES, True),
        (NO, False),
        ({"all": [YES, YES]}, True),
        ({"all": [YES, NO]}, False),
        ({"any": [NO, YES]}, True),
        ({"any": [NO, NO]}, False),
        ({"all": [YES, {"any": [NO, {"all": [YES, YES]}]}]}, True),
        ({"left": "x", "operator": "is_set"}, True),
        ({"left": None, "operator": "is_set"}, False),
        ({"left": None, "operator": "is_set", "right": False}, True),
        (rule([1, {"a": None}], "is", [1.0, {"a": None}]), True),
        (nested(5), True),
    ],
)
def test_a_condition_passes_or_skips_the_rest(config, passed):
    assert validate_config(CONDITION, config) == []
    assert outcome(config) == Completed({"passed": passed}, skip_rest=not passed)


@pytest.mark.parametrize(
    ("config", "pointer", "detail"),
    [
        ({}, "", "Give either left, operator and right, or all, or any."),
        ({"left": 1, "right": 2}, "", "Give either left, operator and right, or all, or any."),
        ({"all": [YES], "any": [YES]}, "", "Give either left, operator and right, or all, or any."),
        ({"all": [YES], "left": 1}, "", "Beside all there can be nothing else."),
        ({"operator": "is"}, "", "The operator is needs left and right."),
        ({"left": 1, "operator": "gt"}, "", "The operator gt needs right."),
        ({"operator": "is_set"}, "", "The operator is_set needs left."),
        (rule(1, "equals", 1), "/operator", "Expected one of: is, is_not, contains"),
        ({"all": []}, "/all", "Needs at least 1 item(s)."),
        ({"all": [YES] * 51}, "/all", "May have at most 50 items."),
        ({"any": [YES, {"all": [{"left": 1}]}]}, "/any/1/all/0", "Give either"),
        (nested(6), "", "Nest all and any at most 5 deep."),
        (YES | {"not": True}, "/not", "There is no field of this name here."),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused(config, pointer, detail):
    problems = validate_config(CONDITION, config)
    assert any(problem.pointer == pointer and detail in problem.detail for problem in problems)


@pytest.mark.parametrize(("trigger", "passed"), [({"x": 1}, True), ({"x": None}, False), ({}, False)])
def test_whether_a_path_is_there_can_be_asked_with_default(trigger, passed):
    config = {"left": "{{ trigger.x | default: nil }}", "operator": "is_set"}
    assert validate_config(CONDITION, config) == []
    assert outcome(render_config(config, {"trigger": trigger})).output == {"passed": passed}
