"""The registry of step types, and configs judged before and after their templates are filled in."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, JsonValue, field_validator, model_validator

from lightfield.kernel.errors import PermanentStepError, RequestRefused
from workflows import step_types
from workflows.problems import pointer_to
from workflows.step_types import (
    Completed,
    FastStepType,
    StepConfig,
    StepContext,
    load_config,
    register,
    validate_config,
)


class Call(StepConfig):
    method: Literal["GET", "POST"]
    times: int = Field(1, ge=1, lt=10)
    rate: float = Field(0.5, gt=0, le=1)
    active: bool = True
    tags: list[Annotated[str, Field(min_length=1, max_length=3)]] = Field([], max_length=2)
    headers: dict[str, str] = {}
    target: int | Annotated[str, Field(pattern="^[a-z]+$")] = 1
    body: JsonValue = None
    text: str | None = None
    day: date | None = None

    @field_validator("text")
    @classmethod
    def _polite(cls, text: str | None) -> str | None:
        if text == "rude":
            raise ValueError("Be polite.")
        return text

    @model_validator(mode="after")
    def _one_of_body_and_text(self) -> Call:
        if self.body is not None and self.text is not None:
            raise ValueError("Give body or text, not both.")
        return self


class Caller(FastStepType[Call]):
    name = "caller_of_the_tests"
    summary = "Call"
    Config = Call

    def execute(self, config: Call, context: StepContext) -> Completed:
        return Completed({"method": config.method})


@pytest.fixture
def caller():
    register(Caller)
    yield step_types.get(Caller.name)
    step_types.unregister(Caller.name)


def test_a_registered_type_is_found_by_its_name(caller):
    assert isinstance(caller, Caller)
    assert caller.lane == "fast"
    assert step_types.find(Caller.name) is caller
    assert caller in step_types.all_types()


def test_registering_a_type_twice_is_harmless_but_two_types_cannot_share_a_name(caller):
    register(Caller)

    class Other(Caller):
        pass

    with pytest.raises(ValueError, match="caller_of_the_tests"):
        register(Other)


def test_an_unknown_type_is_refused():
    assert step_types.find("nope") is None
    with pytest.raises(RequestRefused) as caught:
        step_types.get("nope")
    assert caught.value.code == "config.unknown_step_type"


def test_all_types_come_by_name(caller):
    names = [step_type.name for step_type in step_types.all_types()]
    assert names == sorted(names)


INVALID: list[tuple[dict[str, Any], str, str]] = [
    ({}, "/method", "This field is required."),
    ({"method": "PUT"}, "/method", "Expected one of: GET, POST."),
    ({"method": "GET", "nope": 1}, "/nope", "There is no field of this name here."),
    ({"method": "GET", "times": 0}, "/times", "Must be at least 1."),
    ({"method": "GET", "times": 10}, "/times", "Must be less than 10."),
    ({"method": "GET", "times": "x"}, "/times", "Expected a whole number."),
    ({"method": "GET", "times": 1.5}, "/times", "Expected a whole number."),
    ({"method": "GET", "times": []}, "/times", "Expected a whole number."),
    ({"method": "GET", "rate": 0}, "/rate", "Must be greater than 0.0."),
    ({"method": "GET", "rate": 2}, "/rate", "Must be at most 1.0."),
    ({"method": "GET", "rate": "x"}, "/rate", "Expected a number."),
    ({"method": "GET", "rate": float("nan")}, "/rate", "Expected a number, not NaN or infinity."),
    ({"method": "GET", "active": "x"}, "/active", "Expected true or false."),
    ({"method": "GET", "active": []}, "/active", "Expected true or false."),
    ({"method": "GET", "tags": "x"}, "/tags", "Expected a list."),
    ({"method": "GET", "tags": ["a", "b", "c"]}, "/tags", "May have at most 2 items."),
    ({"method": "GET", "tags": ["a", ""]}, "/tags/1", "Needs at least 1 character(s)."),
    ({"method": "GET", "tags": ["abcd"]}, "/tags/0", "May have at most 3 characters."),
    ({"method": "GET", "headers": []}, "/headers", "Expected an object."),
    ({"method": "GET", "headers": {"a/b": 1}}, "/headers/a~1b", "Expected text."),
    ({"method": "GET", "target": "A"}, "/target", "Expected a whole number."),
    ({"method": "GET", "text": "rude"}, "/text", "Be polite."),
    ({"method": "GET", "text": "a", "body": 1}, "", "Give body or text, not both."),
    ({"method": "GET", "day": "x"}, "/day", "Input should be a valid date or datetime, input is too short."),
    ({"method": "GET", "body": {1}}, "/body", "Expected a JSON value."),
]


@pytest.mark.parametrize(("config", "pointer", "detail"), INVALID)
def test_a_config_is_refused_in_plain_words_before_and_after_rendering(caller, config, pointer, detail):
    problems = validate_config(caller, config, at="/steps/3/config")
    assert (f"/steps/3/config{pointer}", "config.invalid", detail) in [
        (problem.pointer, problem.code, problem.detail) for problem in problems
    ]
    with pytest.raises(PermanentStepError) as caught:
        load_config(caller, config)
    assert caught.value.code == "config.invalid"
    assert pointer in [problem["pointer"] for problem in caught.value.metadata["problems"]]
    assert caught.value.metadata["pointer"] == caught.value.metadata["problems"][0]["pointer"]


def test_one_place_is_complained_about_once(caller):
    assert len(validate_config(caller, {"method": "GET", "target": "A"})) == 1


def test_a_message_without_a_place_stands_alone(caller):
    with pytest.raises(PermanentStepError, match=r"^config\.invalid: Give body or text, not both\.$"):
        load_config(caller, {"method": "GET", "text": "a", "body": 1})


@pytest.mark.parametrize(
    "config",
    [
        {"method": "{{ trigger.method }}"},
        {
            "method": "GET",
            "times": "{{ trigger.n }}",
            "rate": " {{ trigger.r }}",
            "active": "{% if a %}1{% endif %}",
        },
        {"method": "GET", "tags": "{{ trigger.tags }}", "headers": {"X": "{{ trigger.x }}"}},
        {"method": "GET", "tags": ["{{ trigger.a_long_path }}"], "target": "{{ UPPER }}"},
    ],
)
def test_a_template_is_accepted_where_another_type_is_wanted(caller, config):
    assert validate_config(caller, config) == []


def test_a_template_beside_a_mistake_does_not_hide_it(caller):
    problems = validate_config(caller, {"method": "{{ trigger.m }}", "times": 0, "nope": "{{ trigger.x }}"})
    assert [problem.pointer for problem in problems] == ["/times", "/nope"]


def test_a_rendered_config_becomes_typed(caller):
    config = load_config(caller, {"method": "GET", "times": "3", "rate": 1})
    assert (config.method, config.times, config.rate) == ("GET", 3, 1.0)


@pytest.mark.parametrize(
    ("parts", "pointer"), [([], ""), (["a", 0], "/a/0"), (["a/b", "c~d"], "/a~1b/c~0d"), ([""], "/")]
)
def test_pointers_follow_rfc_6901(parts, pointer):
    assert pointer_to(parts) == pointer
