"""JSON that people type: read strictly, and every problem put at its line in plain words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from lightfield.builder.places import Place, Places
from lightfield.kernel import strict_json
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import Problem, RequestRefused

# Python's own words for a JSON error, and what to look for.
PLAIN: Final = {
    "Expecting ',' delimiter": "A comma is missing before this, or a bracket was closed too early.",
    "Expecting ':' delimiter": "A colon is missing between the name and its value.",
    "Expecting value": "A value is expected here. Perhaps there is a comma too many before it.",
    "Expecting property name enclosed in double quotes": "A name in double quotes is expected here. "
    "Perhaps there is a comma too many before it.",
    "Illegal trailing comma before end of object": "There is a comma too many before this.",
    "Illegal trailing comma before end of array": "There is a comma too many before this.",
    "Unterminated string starting at": "A text begins here and its closing quote is missing.",
    "Invalid control character at": "A text cannot hold a line break or tab; write \\n or \\t instead.",
    "Invalid \\escape": "This backslash starts no known escape; write \\\\ for a backslash.",
    "Invalid \\uXXXX escape": "After \\u there must be four hex digits.",
    "Extra data": "The document ends before this, and there is more text behind it.",
}


@dataclass(frozen=True)
class PlacedProblem:
    """One thing wrong, at its line. `line` is 0 when it belongs to no line."""

    line: int
    column: int
    pointer: str
    code: str
    detail: str


class Unreadable(Exception):
    """The text is no JSON that can be kept."""

    def __init__(self, problem: PlacedProblem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def normalised(text: str) -> str:
    """Browsers send line breaks as CRLF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        Unreadable: with a `payload.*` code and, where there is one, line and column.
    """
    try:
        return strict_json.parse(text.encode(errors="surrogatepass"))
    except RequestRefused as error:
        raise Unreadable(_unreadable(text, error)) from None


def placed(text: str, problems: Iterable[Problem]) -> list[PlacedProblem]:
    """Problems of a document, each at the line of `text` where its pointer leads, from the top."""
    places = Places(text)
    found = [_placed(problem, places.of(problem.pointer)) for problem in problems]
    return sorted(found, key=lambda problem: (problem.line, problem.column))


def _placed(problem: Problem, place: Place) -> PlacedProblem:
    return PlacedProblem(place.line, place.column, problem.pointer, problem.code, problem.detail)


def _unreadable(text: str, error: RequestRefused) -> PlacedProblem:
    if error.code == "payload.invalid_json":
        return _syntax_error(text)
    detail = f"{error.message} {CATALOGUE[error.code].remedy}"
    if error.code == "payload.duplicate_key":
        pointer, place = (Places(text).repeated or [("", Place(0, 0))])[0]
        return PlacedProblem(place.line, place.column, pointer, error.code, detail)
    return PlacedProblem(0, 0, "", error.code, detail)


def _syntax_error(text: str) -> PlacedProblem:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if not text.strip():
            return PlacedProblem(0, 0, "", "payload.invalid_json", "There is nothing here yet.")
        plain = PLAIN.get(error.msg, f"{error.msg}.")
        return PlacedProblem(error.lineno, error.colno, "", "payload.invalid_json", plain)
    return PlacedProblem(0, 0, "", "payload.invalid_json", CATALOGUE["payload.invalid_json"].remedy)
