"""What is wrong with a record, told as a step's error: permanent, with places in the step's own config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db import DataError, IntegrityError

from crm.models import Record
from crm.services import refusal_of
from crm.steps.entities import CUSTOM
from lightfield.kernel import sql
from lightfield.kernel.errors import PermanentStepError, Problem, RequestRefused

FOREIGN_KEY_VIOLATION = "23503"
MOST_PROBLEMS = 20
Places = Callable[[str], str]


def permanent(code: str, problems: list[Problem], message: str = "") -> PermanentStepError:
    """The error that these problems are. The first place is in its message, all of them in its metadata."""
    first = problems[0]
    return PermanentStepError(
        code,
        message or (f"{first.pointer}: {first.detail}" if first.pointer else first.detail),
        pointer=first.pointer,
        problems=[problem.as_json() for problem in problems[:MOST_PROBLEMS]],
    )


def places_in(**parts: Mapping[str, Any]) -> Places:
    """From a place in the record to that in the config: in the first of these objects that names the field.

    What none of them names is missing from the first.
    """

    def place(pointer: str) -> str:
        name = pointer.split("/")[1] if pointer else ""
        for part, values in parts.items():
            if name in values:
                return f"/{part}{pointer}"
            if name == "custom" and (own := next((key for key in values if key.startswith(CUSTOM)), None)):
                return f"/{part}/{own.replace('~', '~0').replace('/', '~1')}"
        return f"/{next(iter(parts))}{pointer}"

    return place


def placed(refused: RequestRefused, place: Places) -> PermanentStepError:
    problems = [replace(problem, pointer=place(problem.pointer)) for problem in refused.problems]
    return permanent(refused.code, problems)


@contextmanager
def refusals_told(model: type[Record], place: Places) -> Iterator[None]:
    """Around a write, whose transaction is over when the database refuses it. Raises PermanentStepError.

    What refers to a record that has just been deleted is left to the engine: it runs the step again, which then finds
    no such record.
    """
    try:
        yield
    except RequestRefused as refused:
        raise placed(refused, place) from None
    except IntegrityError as error:
        if sql.sqlstate(error) == FOREIGN_KEY_VIOLATION:
            raise
        if known := refusal_of(error, model):
            raise placed(known, place) from error
        raise permanent("record.invalid", [_refused_by_database(error)]) from error
    except DataError as error:
        raise permanent("record.invalid", [_refused_by_database(error)]) from error


def _refused_by_database(error: Exception) -> Problem:
    """By a rule that a project added, or a value that the column cannot hold. Its first line names the rule."""
    words = str(error).partition("\n")[0][:500]
    return Problem("/fields", "record.invalid_value", f"The database refuses it: {words}")
