"""What keeps a definition from being published, and the plan that the engine follows."""

from __future__ import annotations

import copy

import pytest
from pydantic import BaseModel, ConfigDict

import executions.steps  # noqa: F401  registers log, sleep and condition
from lightfield.kernel.errors import RequestRefused
from workflows.definitions import parse_definition
from workflows.trigger_types import (
    find_trigger_type,
    register_trigger_type,
    trigger_type_names,
    unregister_trigger_type,
)
from workflows.validation import PROBLEMS_LIMIT, plan_of, problems_of


class BellConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tone: int = 1


@pytest.fixture(autouse=True)
def bell():
    """A trigger type of our own: the real ones belong to another app."""
    register_trigger_type("bell", BellConfig)
    yield
    unregister_trigger_type("bell")


def log(key: str, message: object) -> dict:
    return {"key": key, "type": "log", "config": {"message": message}}


def definition(*steps: dict, trigger: dict | None = None) -> dict:
    return {"schema": 1, "name": "x", "trigger": trigger or {"type": "bell"}, "steps": list(steps)}


def problems(raw: dict) -> list[tuple[str, str, str]]:
    return [(found.pointer, found.code, found.detail) for found in problems_of(parse_definition(raw))]


GOOD = definition(
    log(
        "first",
        "{{ trigger.a.b }} in {{ run.id }} {{ run.trace_id }} {{ workflow.name }} {{ workflow.version }}",
    ),
    {"key": "pause", "type": "sleep", "config": {"seconds": "{{ first.seconds | default: 5 }}"}},
    log("last", "{% for t in trigger.tags %}{{ t.name }}{% endfor %} {{ pause.until }} {{ first }}"),
)


def test_a_sound_definition_has_no_problems():
    assert problems(copy.deepcopy(GOOD)) == []


@pytest.mark.parametrize(
    ("template", "detail"),
    [
        ("{{ nobody.id }}", "There is no nobody: use trigger, run, workflow or the key of an earlier step."),
        ("{{ second.id }}", "The step second comes later; a step can read earlier steps only."),
        ("{{ first.id }}", "The step first cannot read its own output."),
        ("{{ run.secret }}", "run has only id, trace_id."),
        ("{{ workflow.owner }}", "workflow has only id, name, version."),
        ("{{ trigger.a | append: nobody.id }}", "There is no nobody"),
        ("{% if nobody %}x{% endif %}", "There is no nobody"),
        ("{% for i in trigger.list %}{% endfor %}{{ i }}", "There is no i"),
    ],
)
def test_a_reference_to_what_is_not_there_yet_is_refused(template, detail):
    found = problems(definition(log("first", template), log("second", "x")))
    assert [(pointer, code) for pointer, code, _ in found] == [
        ("/steps/0/config/message", "template.unknown_reference")
    ]
    assert detail in found[0][2]


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{{ trigger.", "template.syntax"),
        ("{{ trigger.a | shout }}", "template.unknown_filter"),
        ("{{ trigger.a }}" + "x" * 20_000, "template.limit"),
        ("{% include 'x' %}", "template.syntax"),
    ],
)
def test_a_template_that_cannot_be_read_is_refused(template, code):
    assert [found[:2] for found in problems(definition(log("a", template)))] == [
        ("/steps/0/config/message", code)
    ]


def test_a_pointer_leads_to_the_template_inside_the_config():
    rules = {"all": [{"left": 1, "operator": "is", "right": {"a/b": ["{{ later.id }}"]}}]}
    found = problems(definition({"key": "check", "type": "condition", "config": rules}, log("later", "x")))
    assert [found[:2] for found in found] == [
        ("/steps/0/config/all/0/right/a~1b/0", "template.unknown_reference")
    ]


def test_names_of_fields_are_not_templates():
    rule = {"left": {"{{ trigger.a }}": 1}, "operator": "is_set"}
    found = problems(definition({"key": "check", "type": "condition", "config": {"any": [rule]}}))
    assert [found[:2] for found in found] == [
        ("/steps/0/config/any/0/left/{{ trigger.a }}", "template.syntax")
    ]


def test_unknown_types_are_refused_with_the_known_ones():
    found = problems(definition({"key": "a", "type": "teleport"}, trigger={"type": "telepathy"}))
    assert [found[:2] for found in found] == [
        ("/trigger/type", "config.unknown_trigger_type"),
        ("/steps/0/type", "config.unknown_step_type"),
    ]
    assert "bell" in found[0][2]
    assert "log" in found[1][2]


def test_a_trigger_config_is_judged():
    found = problems(definition(log("a", "x"), trigger={"type": "bell", "config": {"tone": "loud", "x": 1}}))
    assert found == [
        ("/trigger/config/tone", "config.invalid", "Expected a whole number."),
        ("/trigger/config/x", "config.invalid", "There is no field of this name here."),
    ]


def test_a_draft_without_trigger_and_steps_is_told_what_is_missing():
    found = problems({"schema": 1, "name": "x"})
    assert [found[:2] for found in found] == [
        ("/trigger", "config.invalid_definition"),
        ("/steps", "config.invalid_definition"),
    ]


def test_every_problem_is_told_at_once_in_document_order():
    raw = definition(
        {"key": "a", "type": "sleep", "config": {"seconds": -1, "unit": "{{ b.x }}"}},
        log("b", "{{ a.until }} {{ c.x }} {{ d.x }}"),
        {"key": "c", "type": "nope", "config": {"x": "{{"}},
        trigger={"type": "nope"},
    )
    assert [found[:2] for found in problems(raw)] == [
        ("/trigger/type", "config.unknown_trigger_type"),
        ("/steps/0/config/seconds", "config.invalid"),
        ("/steps/0/config/unit", "config.invalid"),
        ("/steps/0/config/unit", "template.unknown_reference"),
        ("/steps/1/config/message", "template.unknown_reference"),
        ("/steps/1/config/message", "template.unknown_reference"),
        ("/steps/2/type", "config.unknown_step_type"),
        ("/steps/2/config/x", "template.syntax"),
    ]


def test_a_flood_of_problems_is_cut():
    values = ["{{"] * (PROBLEMS_LIMIT + 50)
    rule = {"left": values, "operator": "is_set"}
    assert len(problems(definition({"key": "check", "type": "condition", "config": rule}))) == PROBLEMS_LIMIT


def test_the_plan_names_each_step_with_its_lane_and_attempts():
    raw = definition(log("a", "x"), {"key": "b", "type": "sleep", "retry": {"max_attempts": 2}})
    assert plan_of(parse_definition(raw)) == [
        {"key": "a", "type": "log", "lane": "fast", "max_attempts": 5},
        {"key": "b", "type": "sleep", "lane": "fast", "max_attempts": 2},
    ]
    with pytest.raises(RequestRefused):
        plan_of(parse_definition(definition({"key": "a", "type": "teleport"})))


def test_trigger_types_are_registered_once():
    register_trigger_type("bell", BellConfig)
    assert find_trigger_type("bell") is BellConfig
    assert "bell" in trigger_type_names()

    class OtherConfig(BaseModel):
        pass

    with pytest.raises(ValueError, match="bell"):
        register_trigger_type("bell", OtherConfig)
