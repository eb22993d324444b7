"""Schemas by strangers: what is refused, what is checked, and that no check takes long or leaves this process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from executions.agents.schemas import Schema, flaws_in
from lightfield.kernel.errors import RequestRefused


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"not": schema}
    return schema


FLAWED = {
    "no object": (["type"], ""),
    "no such type": ({"type": "objekt"}, "/type"),
    "a required that is no list": ({"required": "a"}, "/required"),
    "another document": ({"$ref": "http://127.0.0.1:1/schema"}, "/$ref"),
    "a file": ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "/properties/a/$ref"),
    "nothing there": ({"$ref": "#/$defs/no"}, "/$ref"),
    "an anchor": ({"$ref": "#here"}, "/$ref"),
    "a base": ({"$id": "http://127.0.0.1:1/"}, "/$id"),
    "another dialect below": (
        {"items": {"$schema": "http://json-schema.org/draft-07/schema#"}},
        "/items/$schema",
    ),
    "look-around": ({"pattern": "(?=a)b"}, "/pattern"),
    "a huge pattern": ({"pattern": "((a{1000}){1000}){1000}"}, "/pattern"),
    "a pattern of names": ({"patternProperties": {"(": {}}}, "/patternProperties"),
    "what cannot be counted": ({"unevaluatedProperties": False}, "/unevaluatedProperties"),
    "dynamic": ({"$dynamicRef": "#a"}, "/$dynamicRef"),
    "too deep": (nested(40), ""),
    "too large": ({"description": "x" * 70_000}, ""),
    "no JSON": ({"const": float("nan")}, ""),
}


@pytest.mark.parametrize("name", FLAWED)
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(name: str) -> None:
    schema, pointer = FLAWED[name]

    with pytest.raises(RequestRefused, match=r"config\.invalid") as refused:
        Schema(schema)  # type: ignore[arg-type]

    assert refused.value.problems[0].pointer == pointer
    assert refused.value.problems[0].detail


FITS: list[tuple[dict[str, Any], Any, list[str]]] = [
    ({"type": "object", "required": ["a"]}, {}, [""]),
    ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": "x"}, ["/a"]),
    ({"properties": {"a": {}}, "additionalProperties": False}, {"b": 1}, [""]),
    ({"patternProperties": {"^x": {"type": "null"}}, "additionalProperties": {"type": "string"}}, {"x1": 1, "y": 2},
     ["/x1", "/y"]),
    ({"pattern": "^[a-z]+$"}, "ab1", [""]),
    ({"pattern": "b"}, "abc", []),
    ({"uniqueItems": True}, [1, {"a": 1}, {"a": 1}], [""]),
    ({"uniqueItems": True}, [1, "1", {"a": 1}, {"a": 2}], []),
    ({"$defs": {"a/b": {"type": "string"}}, "items": {"$ref": "#/$defs/a~1b"}}, ["x", 1], ["/1"]),
    ({"enum": ["a", "b"]}, "c", [""]),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"}, 1, [""]),
    ({"properties": {"a~/b": {"type": "string"}}}, {"a~/b": 1}, ["/a~0~1b"]),
    ({"format": "date-time"}, "no date", []),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "pointers"), FITS)
def test_a_value_is_checked_and_every_problem_has_its_place(
    schema: dict[str, Any], value: Any, pointers: list[str]
) -> None:
    assert [problem["pointer"] for problem in Schema(schema).problems(value)] == pointers


def test_a_reference_to_itself_may_be_a_schema_of_trees() -> None:
    tree = {"type": "object", "properties": {"below": {"$ref": "#"}, "n": {"type": "integer"}}}

    assert Schema(tree).problems({"below": {"below": {"n": "x"}}})[0]["pointer"] == "/below/below/n"


def test_problems_are_few_and_short() -> None:
    problems = Schema({"items": {"type": "string"}}).problems([[0] * 1000] * 900)

    assert len(problems) == 20
    assert all(len(problem["detail"]) <= 300 for problem in problems)


DOUBLING = {
    "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {}},
    "$ref": "#/$defs/d0",
}
HOSTILE: dict[str, tuple[dict[str, Any], Any, bool]] = {
    "backtracking": ({"pattern": "^(a+)+$"}, "a" * 100_000 + "b", True),
    "backtracking in names": ({"patternProperties": {"^(a+)+$": False}}, {"a" * 250 + "b": 1}, False),
    "a reference to itself": ({"$ref": "#"}, 1, True),
    "two that refer to each other": (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, 1, True
    ),
    "doubling": (DOUBLING, 1, True),
    "many ways for each of many": ({"items": {"anyOf": [{"type": "string"}] * 500}}, list(range(9_000)), True),
    "the same thing twice, at the end": ({"uniqueItems": True}, [[n] for n in range(9_000)] + [[0]], True),
    "many patterns for many names": (
        {"patternProperties": {f"^a{n}": {} for n in range(1_000)}}, {f"b{n}": 1 for n in range(5_000)}, True
    ),
    "a number that is no multiple": ({"multipleOf": 1e-300}, 1e300, True),
}  # fmt: skip

CHECK = """
import json, resource, sys
from executions.agents.schemas import Schema
Schema({"type": "string"}).problems("the imports")
resource.setrlimit(resource.RLIMIT_CPU, (resource.getrusage(resource.RUSAGE_SELF).ru_utime.__ceil__() + 5,) * 2)
schema, value = json.load(sys.stdin)
print(len(Schema(schema).problems(value)))
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_or_value_ends_within_seconds_of_processor_time(name: str) -> None:
    schema, value, is_wrong = HOSTILE[name]

    checked = subprocess.run(
        [sys.executable, "-c", CHECK], input=json.dumps([schema, value]), capture_output=True, text=True
    )

    assert checked.returncode == 0, checked.stderr[-500:]
    assert (int(checked.stdout) > 0) == is_wrong


def test_a_schema_of_any_size_that_it_may_have_is_judged() -> None:
    assert (
        flaws_in({"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(1_500)}}) == []
    )
