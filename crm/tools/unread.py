"""Writes to an entity that the step may not read: nothing of what is stored comes back, neither as a result nor by guessing.

What cannot be hidden from somebody who may write is whether a natural key is taken: a second contact with the same e-mail
address cannot be. Beyond that:

* A record to be changed is named by its id, or by what such records are known by, and by nothing else: to match by other
  fields would be to ask which record has them.
* Fields that are judged together are given together: else whether a meeting's new start is accepted would tell its end.
* A refusal that could quote what is stored says only which rule it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from crm.steps.entities import Entity
from crm.steps.fields import accepted
from crm.steps.refusals import permanent, places_in, refusals_told
from executions.agents.tools.arguments import denied, shown
from executions.agents.values import JsonObject
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import PermanentStepError, Problem

# Constraints over several fields: all of them have to be given, or one that is not empty will do.
ALL, ONE = "all", "one"
TOGETHER: Final = {
    "meeting_ends_after_its_start": (ALL, ("start_date", "end_date")),
    "contact_is_somebody": (ONE, ("email", "first_name", "last_name")),
}


def known_by(entity: Entity) -> tuple[str, ...]:
    """The fields by which such a record may be meant: its natural keys, else its name."""
    return entity.natural_keys or tuple(name for name in ("name", "title") if name in entity.form)


def check_match(entity: Entity, match: Mapping[str, Any]) -> None:
    """Raises PermanentStepError: `ai.permission_denied`."""
    keys = known_by(entity)
    if foreign := [name for name in match if name not in keys]:
        raise denied(
            f"match {entity.name} by {shown(foreign[0])}",
            f"This step may not read {entity.name}, so one is meant by {' and '.join(keys)} only.",
        )


def check_fields(entity: Entity, *, is_new: bool, **parts: Mapping[str, Any]) -> None:
    """Judge the fields by themselves, so that what is wrong with them can be told in full.

    Raises:
        PermanentStepError: `record.invalid`.
    """
    given: dict[str, Any] = {}
    for part, values in parts.items():
        with refusals_told(entity.model, places_in(**{part: values})):
            given |= accepted(entity, values, is_new=False)
    if is_new:
        return
    for name, (kind, fields) in TOGETHER.items():
        if not any(constraint.name == name for constraint in entity.model._meta.constraints):
            continue
        touched = [field for field in fields if field in given]
        if kind == ALL and touched and len(touched) < len(fields):
            raise _apart(fields, next(field for field in fields if field not in given))
        if kind == ONE and any(given[field] is None for field in touched) and not any(map(given.get, fields)):
            raise _apart(fields, touched[0])


def _apart(fields: tuple[str, ...], place: str) -> PermanentStepError:
    detail = f"Give {', '.join(fields)} together: this step may not read what is stored."
    return permanent("record.invalid", [Problem(f"/fields/{place}", "record.missing_field", detail)])


@contextmanager
def nothing_quoted() -> Iterator[None]:
    """Around a write: of a refusal only the codes and places are told."""
    try:
        yield
    except PermanentStepError as error:
        raise permanent(error.code, _bare(error), CATALOGUE[error.code].meaning) from None


def _bare(error: PermanentStepError) -> list[Problem]:
    problems = error.metadata.get("problems") or [{"pointer": "", "code": error.code}]
    return [Problem(one["pointer"], one["code"], CATALOGUE[one["code"]].meaning) for one in problems]


def receipt(record: JsonObject, *, is_new: bool) -> JsonObject:
    """All that is told of what was written."""
    return {"id": record["id"], "type": record["type"], "created": is_new}
