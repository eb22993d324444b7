"""JSON pointers to lines: on every value of documents of every form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lightfield.builder.places import Place, Places

TEXT = """{
  "a": [1, {"b/c": true}],
  "d":
    "x",
  "e~": {}, "f": [
    [],
    null ]
}"""


@pytest.mark.parametrize(
    ("pointer", "line", "column"),
    [
        ("", 1, 1),
        ("/a", 2, 3),
        ("/a/0", 2, 9),
        ("/a/1", 2, 12),
        ("/a/1/b~1c", 2, 13),
        ("/d", 3, 3),
        ("/e~0", 5, 3),
        ("/f", 5, 13),
        ("/f/0", 6, 5),
        ("/f/1", 7, 5),
    ],
)
def test_a_pointer_leads_to_where_its_value_or_name_stands(pointer: str, line: int, column: int) -> None:
    assert Places(TEXT).of(pointer) == Place(line, column)


def test_what_is_missing_stands_with_its_parent() -> None:
    places = Places(TEXT)

    assert places.of("/f/1/x/y") == places.of("/f/1")
    assert places.of("/nothing") == places.of("")


def test_a_name_that_stands_twice_is_told_at_its_second_place() -> None:
    places = Places('{"a": 1,\n "b": {"x": 1, "x": 2},\n "a": 2}')

    assert [(pointer, place.line) for pointer, place in places.repeated] == [("/b/x", 2), ("/a", 3)]


@pytest.mark.parametrize("text", ["1", '"a\\"]}"', "[]", "{}", " \n true", '[["{"], {"}": "]"}]'])
def test_every_form_of_document_is_read_to_its_end(text: str) -> None:
    places = Places(text)

    for pointer in pointers_of(json.loads(text)):
        assert places.of(pointer).line >= 1
        assert pointer in places._offsets


def pointers_of(value: Any, pointer: str = "") -> Iterator[str]:
    yield pointer
    if isinstance(value, dict):
        for name, item in value.items():
            yield from pointers_of(item, f"{pointer}/{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from pointers_of(item, f"{pointer}/{index}")
