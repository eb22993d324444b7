"""What an agent's output_schema says of its output is read for every draft: a flawed one was an error 500 of the builder, so was
`true`, which is a schema; and one whose references multiply kept the server for ever."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import a_definition
from workflows import shapes
from workflows.definitions import parse_definition
from workflows.foresight import warnings_of

SCHEMAS: list[Any] = [
    {"anyOf": 5}, {"anyOf": ["a", "b"]}, {"type": "object", "properties": 5}, {"$ref": "#/$defs/a", "$defs": {"a": 5}},
    {"$ref": "#/$defs/0", "$defs": [1]}, {"oneOf": {"a": 1}}, 5,
    {"anyOf": [True, {"type": "string"}]}, {"$ref": "#/$defs/a", "$defs": {"a": True}},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_path_into_an_output_of_which_nothing_can_be_known_is_no_error(schema: Any) -> None:
    agent = {"key": "agent", "type": "ai_agent", "config": {"prompt": "Go.", "output_schema": schema}}
    after = {"key": "wait", "type": "sleep", "config": {"seconds": "{{ agent.output.x.y }}"}}

    assert warnings_of(parse_definition(a_definition(steps=[agent, after]))) == []


def test_references_that_multiply_end() -> None:
    fifty = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 50} for n in range(9)}
    for last in ({"type": "string"}, {"anyOf": [{"type": "null"}]}):
        schema = {"$ref": "#/$defs/d0", "$defs": {**fifty, "d9": last}}

        assert shapes.dead_end(schema, ("x", "y")) is None
