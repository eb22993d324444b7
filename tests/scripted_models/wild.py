"""Scripts of models that mean harm, or are broken: data, for any shape."""

from __future__ import annotations

import json
from typing import Any

Script = list[dict[str, Any]]


def calling(name: str, arguments: Any, *, times: int = 1) -> Script:
    """Always the same call, `times` in one answer, and never an end."""
    return [{"calls": [{"name": name, "arguments": arguments}] * times}]


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# What no row can keep, or what reads as something else.
ODD_ARGUMENTS: dict[str, str] = {
    "no_json": "{email: a@b.c}",
    "cut": '{"email": "a@b',
    "a_list": '["a@b.c"]',
    "a_number": "7",
    "nan": '{"email": NaN}',
    "too_deep": json.dumps({"email": nested(100)}),
    "a_huge_number": '{"email": 1e5000}',
    "twice": '{"email": "a", "email": "b"}',
}
# A success that is none.
BROKEN: dict[str, dict[str, Any]] = {
    "broken_json": {"body": '{"id": "x", "choices": [{"index": 0, "message"'},
    "html": {"body": "<html><h1>Welcome</h1></html>", "headers": {"content-type": "text/html"}},
    "html_that_claims_to_be_json": {"body": "<html><h1>Welcome</h1></html>"},
    "empty": {"body": ""},
    "a_list": {"body": [1, 2]},
    "text": {"body": "all well", "headers": {"content-type": "text/plain"}},
    "an_empty_object": {"body": {}},
    "another_api": {"body": {"result": "ok", "items": []}},
    "no_choices": {
        "body": {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
    },
    "wrong_types": {
        "body": {"id": 7, "choices": [{"index": "a", "message": 5}], "content": 5, "usage": "none"}
    },
    "an_error_with_200": {"body": {"error": {"message": "sorry", "code": 502}}},
    "streaming": {"text": "hello", "streams": True},
    "nested_without_end": {"body": '{"choices": ' + "[" * 50_000 + "]" * 50_000 + "}"},
    "thousands_of_calls": {"calls": [{"name": "look_up", "arguments": {}}] * 3000},
}
HUGE: Script = [{"text": "x" * (2 << 20)}]
