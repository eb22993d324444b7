"""From pydantic's errors to problems a person can act on: a JSON pointer, a code and a plain sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lightfield.kernel.errors import Problem

PLAIN = {
    "missing": "This field is required.",
    "extra_forbidden": "There is no field of this name here.",
    "string_type": "Expected text.",
    "int_type": "Expected a whole number.",
    "int_parsing": "Expected a whole number.",
    "int_parsing_size": "The number is too large.",
    "int_from_float": "Expected a whole number.",
    "float_type": "Expected a number.",
    "float_parsing": "Expected a number.",
    "finite_number": "Expected a number, not NaN or infinity.",
    "bool_type": "Expected true or false.",
    "bool_parsing": "Expected true or false.",
    "dict_type": "Expected an object.",
    "model_type": "Expected an object.",
    "model_attributes_type": "Expected an object.",
    "list_type": "Expected a list.",
    "none_required": "Expected null.",
    "invalid-json-value": "Expected a JSON value.",
    "string_pattern_mismatch": "The text does not have the required form ({pattern}).",
    "literal_error": "Expected one of: {expected}.",
    "enum": "Expected one of: {expected}.",
    "union_tag_invalid": "Expected one of: {expected_tags}.",
    "union_tag_not_found": "The field {discriminator} is required.",
    "greater_than": "Must be greater than {gt}.",
    "greater_than_equal": "Must be at least {ge}.",
    "less_than": "Must be less than {lt}.",
    "less_than_equal": "Must be at most {le}.",
    "string_too_short": "Needs at least {min_length} character(s).",
    "string_too_long": "May have at most {max_length} characters.",
    "too_short": "Needs at least {min_length} item(s).",
    "too_long": "May have at most {max_length} items.",
}


def pointer_to(parts: Iterable[str | int]) -> str:
    """The RFC 6901 pointer of a path; `~` and `/` inside a key are escaped."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def problems_of_model(
    error: ValidationError,
    document: object,
    *,
    code: str,
    at: str = "",
    unless: Callable[[object], bool] = lambda _value: False,
) -> list[Problem]:
    """The problems of a document that pydantic refused, in its order, one per place.

    A union tries every branch and reports them all; the first report at a place is kept.

    Args:
        document: what was validated, to tell its own keys from pydantic's names of union branches.
        at: pointer of `document` inside the caller's own document.
        unless: problems with a value for which this is true are dropped, but not the field's being unknown.
    """
    found: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        place = place_in(document, detail["loc"], is_missing=detail["type"] == "missing")
        if detail["type"] != "extra_forbidden" and unless(value_at(document, place)):
            continue
        pointer = at + pointer_to(place)
        found.setdefault(pointer, Problem(pointer, code, sentence(detail)))
    return list(found.values())


def place_in(document: object, location: tuple[str | int, ...], *, is_missing: bool) -> list[str | int]:
    """The steps of `location` that exist in `document`, plus a last one that should, when it `is_missing`."""
    place: list[str | int] = []
    here: Any = document
    for index, part in enumerate(location):
        if _has(here, part):
            here = here[part]
        elif not (is_missing and index == len(location) - 1 and isinstance(here, dict)):
            continue  # the name of a union's branch, or pydantic's "[key]"
        place.append(part)
    return place


def _has(here: object, part: str | int) -> bool:
    if isinstance(here, dict):
        return part in here
    return isinstance(here, list) and isinstance(part, int) and part < len(here)


def value_at(document: object, place: list[str | int]) -> object:
    """What stands at a place; None when nothing does."""
    here: Any = document
    for part in place:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            return None
    return here


def sentence(detail: ErrorDetails) -> str:
    """One plain sentence for one pydantic error."""
    context = detail.get("ctx", {})
    if detail["type"] in ("value_error", "assertion_error"):
        return str(context["error"])
    plain = PLAIN.get(detail["type"])
    if plain is None:
        return f"{detail['msg']}."
    return plain.format_map({name: _unquoted(value) for name, value in context.items()})


def _unquoted(value: object) -> str:
    """`'GET', 'POST' or 'PUT'` of pydantic's message as a plain list."""
    return str(value).replace("'", "").replace(" or ", ", ")
