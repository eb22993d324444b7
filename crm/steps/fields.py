"""The fields that a step writes: judged by the API's own rules, as far as they are known when a workflow is published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rest_framework.serializers import PrimaryKeyRelatedField

from crm.steps.entities import CUSTOM, Entity, is_own, no_such_field
from lightfield.kernel.errors import Problem, RequestRefused
from workflows.expressions import templates_in
from workflows.problems import pointer_to


def accepted(
    entity: Entity, fields: Mapping[str, Any], *, is_new: bool, custom: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The fields as the model wants them. References are looked up.

    Args:
        custom: what `custom` holds now; a field `custom.plan` changes one of its keys and leaves the others.

    Raises:
        RequestRefused: `record.invalid`, with places in the record.
    """
    plain = {name: value for name, value in fields.items() if not name.startswith(CUSTOM)}
    own = {name[len(CUSTOM) :]: value for name, value in fields.items() if name.startswith(CUSTOM)}
    if own:
        there = plain.get("custom", custom or {})
        plain["custom"] = {**there, **own} if isinstance(there, dict) else there
    return entity.serializer(data=plain, partial=not is_new).accepted()


def written_out(part: object) -> Mapping[str, Any]:
    """A part of a config as written; empty when a template stands for all of it, which is judged once it is filled in."""
    return part if isinstance(part, Mapping) else {}


def flaws_in(entity: Entity, part: str, fields: object, *, is_new: bool = False) -> Iterator[Problem]:
    """What is wrong with one part of a config as written: names, and values without templates.

    Whether a reference leads somewhere is asked when the step runs; so is everything when a template stands for the
    whole part.
    """
    if not isinstance(fields, Mapping):
        return
    for flaw in _flaws(entity, fields, is_new=is_new):
        yield replace(flaw, pointer=f"/{part}{flaw.pointer}")


def _flaws(entity: Entity, fields: Mapping[str, Any], *, is_new: bool) -> Iterator[Problem]:
    known = {}
    for name, value in fields.items():
        if flaw := name_flaw(entity, name):
            yield Problem(pointer_to([name]), *flaw)
        elif not (any(templates_in(value)) or isinstance(entity.form.get(name), PrimaryKeyRelatedField)):
            known[name] = value
    try:
        accepted(entity, known, is_new=False)
    except RequestRefused as refused:
        yield from refused.problems
    if is_new:
        yield from _missing(entity, fields)


def name_flaw(entity: Entity, name: str) -> tuple[str, str] | None:
    """Why a step cannot write the field of this name: code and sentence. None: it can."""
    if is_own(name):
        return None
    form = entity.form.get(name)
    if form is None:
        known = [name for name, form in entity.form.items() if not form.read_only]
        return "record.unknown_field", no_such_field(entity, name, known)
    if form.read_only:
        return "record.read_only_field", "This field cannot be set."
    return None


def _missing(entity: Entity, fields: Mapping[str, Any]) -> Iterator[Problem]:
    for name, form in entity.form.items():
        if form.required and not form.read_only and name not in fields:
            yield Problem(
                pointer_to([name]), "record.missing_field", f"A new {entity.name} needs this field."
            )
