"""What the references of a written record may lead to: nothing that the step could not have known of.

Otherwise a write that is refused because there is no such record, or that goes through, would tell which there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db.models import Model
from rest_framework.serializers import PrimaryKeyRelatedField

from crm.steps.entities import ENTITIES, Entity
from crm.steps.refusals import permanent
from crm.tools.scope import Scope
from executions.agents.tools.arguments import denied
from lightfield.kernel.errors import Problem
from workflows.problems import pointer_to

AUTHOR: Final = (
    "created_by"  # the audit trail says that it was a step; nobody else can be made to have written it
)
NOT_KNOWN: Final = "No person with this id stands in a record that this step may read."


def check_references(entity: Entity, scope: Scope, **parts: Mapping[str, Any]) -> None:
    """Judge what a call would set or look for. Raises PermanentStepError: `ai.permission_denied`, `record.invalid`."""
    for part, values in parts.items():
        for name, value in values.items():
            target = target_of(entity, name)
            if target is None:
                continue
            if name == AUTHOR:
                raise denied(f"set {name}", "Nobody can be named as the author of what a step writes.")
            if value is None or value == "":
                continue
            if (known := entity_of(target)) is None:
                _check_person(scope, target, value, f"/{part}{pointer_to([name])}")
            elif not scope.may_reach(known):
                raise denied(
                    f"refer to {known.name} in {name}",
                    f"Leave {name} out: this step may not use {known.name}.",
                )


def target_of(entity: Entity, name: str) -> type[Model] | None:
    """The model that a field refers to; None: it is no reference."""
    form = entity.form.get(name)
    if not isinstance(form, PrimaryKeyRelatedField):
        return None
    model: type[Model] = entity.model._meta.get_field(name).related_model  # type: ignore[assignment]  # the form's field says that it refers to a model
    return model


def entity_of(model: type[Model]) -> Entity | None:
    """None: people, who are no records."""
    return next((entity for entity in ENTITIES.values() if entity.model is model), None)


def _check_person(scope: Scope, people: type[Model], value: Any, at: str) -> None:
    """Whether there is such a person is not asked: only whether the step may have read of them."""
    try:
        key = people._meta.pk.to_python(value)
    except (ValidationError, TypeError, ValueError, OverflowError):
        return  # refused as what it is
    if not any(_names(entity, people, key) for entity in ENTITIES.values() if scope.may_read(entity)):
        raise permanent("record.invalid", [Problem(at, "record.not_found", NOT_KNOWN)])


def _names(entity: Entity, people: type[Model], key: Any) -> bool:
    names = [name for name in entity.form if target_of(entity, name) is people]
    return any(entity.model._default_manager.filter(**{name: key}).exists() for name in names)
