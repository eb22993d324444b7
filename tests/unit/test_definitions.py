"""The definition document: what is accepted, what is refused and how, and what is stored."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightfield.kernel.errors import RequestRefused
from workflows.canonical import canonical_json
from workflows.definitions import (
    RESERVED_KEYS,
    checksum,
    dump,
    merge,
    parse_definition,
)

STEP = {"key": "note", "type": "log", "config": {"message": "hi"}}
SMALLEST = {"schema": 1, "name": "Signup"}
FULL = {
    "schema": 1,
    "name": "Stripe signup",
    "description": "Tells sales.",
    "settings": {
        "concurrency": 5,
        "timeout_seconds": 60,
        "on_failure": {
            "webhook": {"url": "https://example.com/", "secret": None},
            "email": ["ops@example.com"],
            "every_seconds": 60,
        },
        "pause_after_failures": 3,
    },
    "trigger": {"type": "webhook", "config": {"signature": {"scheme": "none"}, "sample": {"email": "a@b.c"}}},
    "steps": [
        {
            "key": "notify",
            "name": "Notify",
            "type": "http_request",
            "config": {
                "url": "https://example.com",
                "json": {"raw": "{{ trigger }}", "n": [1, 1.5, None, True]},
            },
            "retry": {
                "max_attempts": 3,
                "base_seconds": 0.5,
                "cap_seconds": 10,
                "retry_on_status": [500, 409],
            },
        }
    ],
}


def problems(raw: object) -> list[tuple[str, str]]:
    """Pointer and detail of every problem of a refused document."""
    with pytest.raises(RequestRefused) as caught:
        parse_definition(raw)
    assert caught.value.code == "config.invalid_definition"
    return [(problem.pointer, problem.detail) for problem in caught.value.problems]


def with_step(**changes: object) -> dict:
    return SMALLEST | {"steps": [STEP | changes]}


def test_defaults_are_written_out():
    assert dump(parse_definition(SMALLEST | {"steps": [STEP]})) == {
        "schema": 1,
        "name": "Signup",
        "description": "",
        "settings": {
            "concurrency": None,
            "timeout_seconds": 86_400,
            "on_failure": None,
            "pause_after_failures": None,
        },
        "trigger": None,
        "steps": [
            {
                "key": "note",
                "name": "",
                "type": "log",
                "config": {"message": "hi"},
                "retry": {
                    "max_attempts": 5,
                    "base_seconds": 1.0,
                    "cap_seconds": 300.0,
                    "retry_on_status": [],
                },
            }
        ],
    }


def test_a_full_definition_comes_back_as_it_was():
    assert dump(parse_definition(copy.deepcopy(FULL))) == FULL


def test_dumping_and_parsing_again_changes_nothing():
    once = dump(parse_definition(FULL))
    assert dump(parse_definition(once)) == once


@pytest.mark.parametrize("raw", [None, [], "text", 5, True])
def test_a_document_that_is_no_object_is_refused(raw):
    assert problems(raw) == [("", "Expected an object.")]


@pytest.mark.parametrize(
    ("raw", "pointer", "detail"),
    [
        ({"name": "x"}, "/schema", "This field is required."),
        ({"schema": 1}, "/name", "This field is required."),
        (SMALLEST | {"schema": 2}, "/schema", "Expected 1, the only version of this format."),
        (SMALLEST | {"schema": True}, "/schema", "Expected a whole number."),
        (SMALLEST | {"schema": "1"}, "/schema", "Expected a whole number."),
        (SMALLEST | {"extra": 1}, "/extra", "There is no field of this name here."),
        (SMALLEST | {"name": ""}, "/name", "Needs at least 1 character(s)."),
        (SMALLEST | {"name": "x" * 201}, "/name", "May have at most 200 characters."),
        (SMALLEST | {"name": 5}, "/name", "Expected text."),
        (SMALLEST | {"description": "x" * 2001}, "/description", "May have at most 2000 characters."),
        (SMALLEST | {"settings": []}, "/settings", "Expected an object."),
        (SMALLEST | {"settings": {"x": 1}}, "/settings/x", "There is no field of this name here."),
        (SMALLEST | {"settings": {"concurrency": 0}}, "/settings/concurrency", "Must be at least 1."),
        (SMALLEST | {"settings": {"concurrency": 1001}}, "/settings/concurrency", "Must be at most 1000."),
        (SMALLEST | {"settings": {"concurrency": "5"}}, "/settings/concurrency", "Expected a whole number."),
        (
            SMALLEST | {"settings": {"timeout_seconds": 30 * 86_400 + 1}},
            "/settings/timeout_seconds",
            "Must be at most 2592000.",
        ),
        (SMALLEST | {"trigger": {}}, "/trigger/type", "This field is required."),
        (SMALLEST | {"trigger": {"type": "a", "config": 5}}, "/trigger/config", "Expected an object."),
        (SMALLEST | {"trigger": {"type": "a", "when": 5}}, "/trigger/when", "There is no field of this name here."),
        (SMALLEST | {"steps": {}}, "/steps", "Expected a list."),
        (SMALLEST | {"steps": [5]}, "/steps/0", "Expected an object."),
        (SMALLEST | {"steps": [STEP] * 101}, "/steps", "May have at most 100 items."),
        (with_step(key="Not ok"), "/steps/0/key", "Use 1 to 40 of a-z, 0-9 and _, a letter first."),
        (with_step(key="a" * 41), "/steps/0/key", "Use 1 to 40 of a-z, 0-9 and _, a letter first."),
        (with_step(key="a\n"), "/steps/0/key", "Use 1 to 40 of a-z, 0-9 and _, a letter first."),
        (with_step(key=5), "/steps/0/key", "Expected text."),
        (with_step(name="x" * 201), "/steps/0/name", "May have at most 200 characters."),
        (with_step(type=""), "/steps/0/type", "Use 1 to 40 of a-z, 0-9 and _, a letter first."),
        (with_step(config="x"), "/steps/0/config", "Expected an object."),
        (with_step(when=1), "/steps/0/when", "There is no field of this name here."),
        (with_step(retry={"max_attempts": 0}), "/steps/0/retry/max_attempts", "Must be at least 1."),
        (with_step(retry={"max_attempts": 51}), "/steps/0/retry/max_attempts", "Must be at most 50."),
        (with_step(retry={"max_attempts": True}), "/steps/0/retry/max_attempts", "Expected a whole number."),
        (with_step(retry={"base_seconds": -1}), "/steps/0/retry/base_seconds", "Must be at least 0."),
        (with_step(retry={"base_seconds": "1"}), "/steps/0/retry/base_seconds", "Expected a number."),
        (with_step(retry={"cap_seconds": 86_401}), "/steps/0/retry/cap_seconds", "Must be at most 86400."),
        (with_step(retry={"retry_on_status": [200]}), "/steps/0/retry/retry_on_status/0", "Must be at least 400."),
        (with_step(retry={"retry_on_status": [600]}), "/steps/0/retry/retry_on_status/0", "Must be at most 599."),
        (with_step(retry={"jitter": 1}), "/steps/0/retry/jitter", "There is no field of this name here."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_pointed_at_in_plain_words(raw, pointer, detail):
    found = [(at, what.replace(".0", "")) for at, what in problems(raw)]
    assert (pointer, detail) in found


@pytest.mark.parametrize(
    ("config", "pointer", "code"),
    [
        ({"a/b": {"c~d": float("inf")}}, "/a~1b/c~0d", "payload.not_a_number"),
        ({"a": 2**63}, "/a", "payload.number_out_of_range"),
        ({"a": "x\0y"}, "/a", "payload.nul_character"),
        ({"x\0y": 1}, "", "payload.nul_character"),
        ({"a": "\ud800"}, "/a", "payload.lone_surrogate"),
        ({"a": ["x" * 1000] * 1100}, "", "payload.too_large"),
        ({"a": [1] * 11_000}, "", "payload.too_many_nodes"),
        ({"a" * 300: 1}, "", "payload.key_too_long"),
    ],
)
def test_what_could_not_be_stored_or_read_again_is_refused(config, pointer, code):
    with pytest.raises(RequestRefused) as caught:
        parse_definition(with_step(config=config))
    assert caught.value.code == "config.invalid_definition"
    assert [problem.code for problem in caught.value.problems] == [code]
    assert caught.value.problems[0].pointer.startswith(f"/steps/0/config{pointer}")


def test_a_document_that_only_its_defaults_make_too_large_is_refused():
    raw = SMALLEST | {"steps": [{"key": "a", "type": "log", "config": {"a": [1] * 9_985}}]}
    with pytest.raises(RequestRefused) as caught:
        parse_definition(raw)
    assert [problem.code for problem in caught.value.problems] == ["payload.too_many_nodes"]


def test_every_problem_is_told_at_once_in_document_order():
    raw = {
        "schema": 1,
        "steps": [STEP | {"key": "if"}, {"key": "a", "typ": "log"}, STEP | {"key": "a"}],
        "nonsense": True,
        "settings": {"concurrency": 0},
    }
    assert [pointer for pointer, _ in problems(raw)] == [
        "/name",
        "/steps/0/key",
        "/steps/1/type",
        "/steps/1/typ",
        "/steps/2/key",
        "/nonsense",
        "/settings/concurrency",
    ]


@pytest.mark.parametrize("key", sorted(RESERVED_KEYS))
def test_reserved_words_are_no_keys(key):
    with pytest.raises(RequestRefused) as caught:
        parse_definition(with_step(key=key))
    assert [(p.pointer, p.code) for p in caught.value.problems] == [("/steps/0/key", "config.reserved_key")]


def test_two_steps_cannot_share_a_key():
    with pytest.raises(RequestRefused) as caught:
        parse_definition(SMALLEST | {"steps": [STEP, STEP, STEP]})
    assert [(p.pointer, p.code) for p in caught.value.problems] == [
        ("/steps/1/key", "config.duplicate_key"),
        ("/steps/2/key", "config.duplicate_key"),
    ]


@pytest.mark.parametrize("depth", [28, 29, 100_000])
def test_nesting_is_bounded(depth):
    config: dict = {}
    for _ in range(depth):
        config = {"a": config}
    raw = with_step(config=config)
    if depth == 28:  # with the document, steps, the step and its config: 32 levels
        assert dump(parse_definition(raw))
    else:
        with pytest.raises(RequestRefused) as caught:
            parse_definition(raw)
        assert [problem.code for problem in caught.value.problems] == ["payload.too_deep"]


def test_merging_replaces_whole_top_level_keys_and_changes_neither():
    draft, patch = copy.deepcopy(FULL), {"name": "New", "settings": {"concurrency": 9}}
    merged = merge(draft, patch)
    assert merged == FULL | patch
    assert draft == FULL
    assert patch == {"name": "New", "settings": {"concurrency": 9}}


def test_the_checksum_ignores_order_and_notices_every_value():
    assert checksum(FULL) == checksum(dict(reversed(FULL.items())))
    assert checksum(FULL) != checksum(FULL | {"name": "Other"})
    assert len(checksum(FULL)) == 64


def test_the_checksum_survives_storage_as_jsonb():
    # PostgreSQL keeps numerics: 1e16 comes back without its exponent, 1.0 as 1.0.
    assert checksum({"a": 1e16, "b": 1.0}) == checksum({"a": 10**16, "b": 1})
    assert checksum({"a": 0.1}) != checksum({"a": 0.2})
    assert checksum({"a": True}) != checksum({"a": 1})


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_canonical_json_means_the_same_value(value):
    assert json.loads(canonical_json(value)) == value
