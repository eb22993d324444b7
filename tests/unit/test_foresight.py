"""Warnings at publish: paths into outputs whose fields are known that end at none of them."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, JsonValue

import executions.steps  # noqa: F401  registers the built-in step types
from tests.scripted import ScriptedFast, installed
from workflows import shapes
from workflows.definitions import parse_definition
from workflows.foresight import WARNINGS_LIMIT, warnings_of
from workflows.step_types import StepOutput
from workflows.trigger_types import register_trigger_type, unregister_trigger_type
from workflows.validation import problems_of

SAMPLE = {"email": "a@b.c", "customer": {"name": "Ann", "tags": ["x"]}, "note": None, "lines": [{"sku": "a"}]}


class BellConfig(BaseModel):
    sample: JsonValue = None


class Pick(StepOutput):
    name: str


class Weather(StepOutput):
    degrees: float
    place: Pick
    hours: list[Pick]
    raw: dict[str, JsonValue]
    maybe: Pick | None = None
    kind: Literal["rain", "sun"]
    either: Pick | str


@pytest.fixture(autouse=True)
def bell():
    """A trigger type of our own that is known by its sample, as webhooks are."""
    register_trigger_type(
        "bell",
        BellConfig,
        lambda config: shapes.of_sample(config["sample"]) if config.get("sample") else None,
    )
    with installed("weather", ScriptedFast, Output=Weather):
        yield
    unregister_trigger_type("bell")


def warned(*templates: str, sample: Any = None) -> list[tuple[str, str]]:
    raw = {
        "schema": 1,
        "name": "x",
        "trigger": {"type": "bell", "config": {"sample": sample} if sample else {}},
        "steps": [
            {"key": "now", "type": "weather"},
            {"key": "call", "type": "http_request", "config": {"method": "GET", "url": "https://a.example"}},
            {"key": "say", "type": "log", "config": {"message": list(templates)}},
        ],
    }
    definition = parse_definition(raw)
    assert problems_of(definition) == []  # a warning refuses nothing
    found = warnings_of(definition)
    assert {one.code for one in found} <= {"template.unknown_field"}
    return [(one.pointer, one.detail) for one in found]


@pytest.mark.parametrize(
    ("template", "detail"),
    [
        (
            "{{ call.statusCode }}",
            "call has no statusCode; did you mean status_code? (template line 1, column 4)",
        ),
        (
            "{{ call.code }}",
            "call has no code; there is status_code, headers, body, encoding, truncated and more.",
        ),
        ("{{ call.status_code.x }}", "call.status_code is a number and has no x."),
        ("{{ now.place.nam }}", "now.place has no nam; did you mean name?"),
        ("{{ now.hours[0].nam }}", "now.hours[0] has no nam; did you mean name?"),
        ("{{ now.hours.first.nam }}", "now.hours.first has no nam"),
        ("{{ now.hours.name }}", "now.hours is a list and has no name."),
        ("{{ now.maybe.nam }}", "now.maybe has no nam"),
        ("{{ now.either.nam }}", "now.either has no nam"),
        ("{{ now.kind.x }}", "now.kind is text and has no x."),
        ("{{ now.degrees.x }}", "now.degrees is a number and has no x."),
        ("{{ now.nope | default: '' }}", "now has no nope"),
        ("a\n {{ now.nope }}", "(template line 2, column 5)"),
        ("{% if now.nope %}{% endif %}", "now has no nope"),
    ],
)
def test_a_field_that_a_step_does_not_give_is_warned_of(template, detail):
    ((pointer, told),) = warned(template)
    assert pointer == "/steps/2/config/message/0"
    assert detail in told


@pytest.mark.parametrize(
    "template",
    [
        "{{ call.body.anything[0].at_all }} {{ call.headers.etag }} {{ call }}",
        "{{ now.raw.x.y }} {{ now.hours.size }} {{ now.hours[3].name }} {{ now.kind.size }}",
        "{{ now.hours[trigger.i].nope }} {{ now.maybe.name }} {{ now.either.name }} {{ now.place.name.size }}",
        "{{ trigger.anything.at.all }} {{ run.id }}",
        "{% assign now = trigger %}{{ now.nope }}",
        "{% for one in now.hours %}{{ one.nope }}{% endfor %}",
    ],
)
def test_what_may_be_there_is_not_warned_of(template):
    assert warned(template) == []


def test_a_sample_is_knowledge_but_others_may_have_more_where_a_default_is_given():
    assert warned("{{ trigger.emial }}", sample=SAMPLE) == [
        (
            "/steps/2/config/message/0",
            "In the sample, trigger has no emial; did you mean email? (template line 1, column 4)",
        )
    ]
    assert warned("{{ trigger.emial | default: '' }}", sample=SAMPLE) == []
    assert warned("{{ trigger.phone | upcase | default: '' }}{{ trigger.phone }}", sample=SAMPLE) != []
    assert (
        warned("{{ trigger.customer.tags[0] }}{{ trigger.note.x }}{{ trigger.lines[7].sku }}", sample=SAMPLE)
        == []
    )
    assert warned("{{ trigger.lines[0].sky }}", sample=SAMPLE) != []


def test_warnings_are_bounded():
    assert len(warned(*[f"{{{{ now.x{number} }}}}" for number in range(150)])) == WARNINGS_LIMIT


def test_a_large_sample_is_looked_at_in_part():
    sample = {f"k{number}": [number] for number in range(9_000)}
    schema = shapes.of_sample(sample)
    assert shapes.dead_end(schema, ("k1", "x")) is not None
    assert shapes.dead_end(schema, ("k8999", "x")) is None


def test_a_schema_that_refers_to_itself_ends():
    schema = {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}}}
    assert shapes.dead_end(schema, ("a", "b")) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["object", "null"], "properties": {"b": {}}, "additionalProperties": False},
        {"type": "object", "patternProperties": {"^x-": {}}, "additionalProperties": False},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
        {"type": "object", "properties": {"a": True}},
    ],
)
def test_a_schema_that_says_it_in_other_words_is_left_open(schema):
    """An app may describe its output in any JSON Schema; a list of types ended publishing with an internal error."""
    assert shapes.dead_end(schema, ("a", "size")) is None


def test_a_step_type_that_cannot_describe_its_output_is_no_reason_not_to_publish(caplog):
    def fail(self: Any, config: Any) -> Any:
        raise KeyError("entity")

    with installed("weather_2", ScriptedFast, output_schema=fail):
        raw = {
            "schema": 1,
            "name": "x",
            "trigger": {"type": "bell"},
            "steps": [
                {"key": "a", "type": "weather_2"},
                {"key": "b", "type": "log", "config": {"message": "{{ a.x }}"}},
            ],
        }
        assert warnings_of(parse_definition(raw)) == []
    assert "not_described" in caplog.text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {}}, "patternProperties": {"^x": {}}},
    ],
)
def test_an_object_that_does_not_say_which_fields_it_has_may_have_any(schema):
    assert shapes.dead_end(schema, ("x",)) is None
