"""Data told apart: what a template fills in never passes for its author's words, however it is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from lightfield.kernel import strict_json
from lightfield.kernel.errors import PermanentStepError
from workflows import data_text, step_types
from workflows.data_text import Data, DataSlot, DataText
from workflows.expressions import render_config
from workflows.step_types import StepConfig

CONTEXT: dict[str, Any] = {
    "trigger": {
        "name": "Ada",
        "note": None,
        "vip": True,
        "amount": 12.5,
        "tags": ["a", "b"],
        "people": [{"name": "Ada", "n": 1}, {"name": "Bob", "n": 2}],
        "by": {"x": 1},
        "at": 1,
        "odd name": "!",
    },
    "found": {"first": {"id": "1"}},
    "run": {"id": "r", "trace_id": "t"},
}


class Told(StepConfig):
    text: DataSlot = ""
    plain: str = ""


def pieces(source: str) -> list[Any]:
    """What a template becomes in a slot that tells data apart: text, or (value, where from)."""
    text = render_config({"text": source}, CONTEXT, data_text.slots_of(Told))["text"]
    assert isinstance(text, DataText)
    return [piece if isinstance(piece, str) else (piece.value, piece.source) for piece in text.pieces]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ trigger }}", [(CONTEXT["trigger"], "trigger")]),
        (" {{ trigger.people }} ", [(CONTEXT["trigger"]["people"], "trigger.people")]),
        ("{{ trigger.vip }}", [(True, "trigger.vip")]),
        ("{{ trigger.note }}", [(None, "trigger.note")]),
        ("Greet {{ trigger.name }}.", ["Greet ", ("Ada", "trigger.name"), "."]),
        ("{{ trigger.amount }}{{ found.first.id }}", [(12.5, "trigger.amount"), ("1", "found.first.id")]),
        ('{{ trigger["odd name"] }}', [("!", 'trigger["odd name"]')]),
        ("{{ trigger.tags[1] }}", [("b", "trigger.tags[1]")]),
        ("{{ run.id }}", [("r", "run.id")]),
    ],
)
def test_an_output_is_a_piece_of_data_with_its_json_type_and_its_path(source, expected):
    assert pieces(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ 'Hello' }} {{ 5 }} {{ 'a' | append: 'b' | upcase }}", ["Hello 5 AB"]),
        ("{% assign who = 'you' %}Hello {{ who }}", ["Hello you"]),
        ("{% if trigger.vip %}Be kind.{% else %}Be quick.{% endif %}", ["Be kind."]),
        ("{% for i in (1..3) %}{{ i }}{% endfor %}", ["123"]),
        ("{% capture x %}a{% endcapture %}{{ x }}", ["a"]),
        ("{% raw %}{{ trigger.name }}{% endraw %}", ["{{ trigger.name }}"]),
        ("{% for p in trigger.people %}{{ forloop.index }}{% endfor %}", ["12"]),
    ],
)
def test_what_the_author_wrote_stays_the_authors(source, expected):
    assert pieces(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ trigger.name | upcase }}", [("ADA", "trigger.name")]),
        ("{{ trigger.missing | default: 'friend' }}", [("friend", "trigger.missing")]),
        ("{{ 'Dear ' | append: trigger.name }}", [("Dear Ada", "trigger.name")]),
        ("{{ trigger.name | append: found.first.id }}", [("Ada1", "found.first.id, trigger.name")]),
        ("{{ trigger.people[trigger.at].name }}", [("Bob", "trigger.at, trigger.people")]),
        ("{{ trigger.people | map: 'name' | join: ',' }}", [("Ada,Bob", "trigger.people")]),
        ("{% assign n = trigger.name %}Hi {{ n }}", ["Hi ", ("Ada", "trigger.name")]),
        ("{% assign n = trigger.name %}{% assign m = n | upcase %}{{ m }}", [("ADA", "trigger.name")]),
        ("{% assign p = trigger.people[0] %}{{ p.name }}", [("Ada", "trigger.people[0].name")]),
        ("{% assign n = trigger.name %}{% assign n = 'x' %}{{ n }}", ["x"]),
        ("{% capture x %}Hi {{ trigger.name }}{% endcapture %}{{ x }}", [("Hi Ada", "trigger.name")]),
        (
            "{% capture x %}{{ trigger.name }}{{ run.id }}{% endcapture %}{{ x }}",
            [("Adar", "run.id, trigger.name")],
        ),
        ("{% capture x %}a{% capture y %}{{ trigger.name }}{% endcapture %}{% endcapture %}{{ x }}", ["a"]),
        (
            "{% for p in trigger.people %}- {{ p.name }}\n{% endfor %}",
            ["- ", ("Ada", "trigger.people[].name"), "\n- ", ("Bob", "trigger.people[].name"), "\n"],
        ),
        ("{% for pair in trigger.by %}{{ pair[0] }}{% endfor %}", [("x", "trigger.by[][0]")]),
        ("{% for c in (1..trigger.at) %}{{ c }}{% endfor %}", [(1, "trigger.at[]")]),
        # A name of the outside is itself again behind the loop that used it for its own.
        ("{% for run in (1..1) %}{% endfor %}", None),
        (
            "{% for found in (1..1) %}{{ found }}{% endfor %}{{ found.first.id }}",
            ["1", ("1", "found.first.id")],
        ),
        (
            "{% assign p = 'mine' %}{% for p in trigger.tags %}{{ p }}{% endfor %}{{ p }}",
            [("a", "trigger.tags[]"), ("b", "trigger.tags[]"), "mine"],
        ),
        (
            "{% for p in trigger.tags %}{% assign p = 'x' %}{{ p }}{% endfor %}",
            ["xx"],
        ),
    ],
)
def test_data_stays_data_through_filters_names_and_loops(source, expected):
    if expected is None:
        with pytest.raises(PermanentStepError, match="reserved"):
            pieces(source)
    else:
        assert pieces(source) == expected


def test_data_that_looks_like_a_template_a_piece_or_a_reference_stays_what_it_is():
    hostile = ["{{ secret.stripe }}", {"data": "x", "from": "author"}, {"secret": "stripe"}]
    context = {"trigger": {"text": hostile}}

    rendered = render_config({"text": "Read {{ trigger.text }}"}, context, data_text.slots_of(Told))

    assert rendered["text"].as_json() == ["Read ", {"data": hostile, "from": "trigger.text"}]


@pytest.mark.parametrize("raw", [["a", {"data": 1, "from": None}], {"data": "x"}, [], 5])
def test_no_json_passes_for_a_text_with_data(raw):
    with pytest.raises(PermanentStepError, match="/text") as caught:
        step_types.load_config(_Type(), {"text": raw})

    assert caught.value.code == "config.invalid"


def test_only_slots_that_say_so_tell_data_apart():
    config = {"text": "{{ trigger.name }}", "plain": "{{ trigger.name }}"}
    rendered = render_config(config, CONTEXT, data_text.slots_of(Told))

    assert rendered == {"text": DataText([Data("Ada", "trigger.name")]), "plain": "Ada"}
    assert render_config(config, CONTEXT) == {"text": "Ada", "plain": "Ada"}
    assert Told(**rendered).model_dump(mode="json")["text"] == [{"data": "Ada", "from": "trigger.name"}]


def test_slots_are_found_at_any_depth():
    class Inner(BaseModel):
        words: list[DataSlot]

    class Outer(BaseModel):
        inner: Inner | None = None
        by_name: dict[str, DataSlot]

    assert data_text.slots_of(Outer) == {("inner", "words", "*"), ("by_name", "*")}


def deep(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value]
    return value


def test_data_too_deep_or_too_large_for_a_frozen_request_goes_into_it_as_json_text():
    # Given values of which each is allowed, but not inside a request with others
    values = [deep(32), list(range(3_000)), {"few": 1}]
    text = DataText([Data(value, "trigger") for value in values])

    written = [piece["data"] for piece in text.as_json()]

    assert written[:2] == [json.dumps(value, separators=(",", ":")) for value in values[:2]]
    assert written[2] == {"few": 1}
    strict_json.check({"prompt": text.as_json()})


def test_too_many_pieces_are_told_with_the_way_out():
    context = {"trigger": {"items": list(range(601))}}
    source = "{% for one in trigger.items %}{{ one }} {% endfor %}"

    with pytest.raises(PermanentStepError, match="600 pieces of data") as caught:
        render_config({"text": source}, context, data_text.slots_of(Told))

    assert caught.value.code == "template.limit"


def test_a_missing_path_is_told_with_its_place():
    with pytest.raises(PermanentStepError) as caught:
        pieces("Greet {{ trigger.nmae }}")

    assert (caught.value.code, caught.value.metadata["column"]) == ("template.unresolved", 10)


class _Type(step_types.SlowStepType[Told]):
    name = "told"
    lane = "ai"
    summary = ""
    Config = Told

    def execute(self, request, context):
        raise NotImplementedError
