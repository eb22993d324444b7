"""Which models are watched, under what name, and what of them is told. `registration` fills the list."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db.models import Field, Model

if TYPE_CHECKING:
    AnyField: TypeAlias = Field[Any, Any]
else:
    AnyField = Field


@dataclass(frozen=True)
class Watch:
    """A watched model. Its fields are looked at late: while models are still being loaded they are not complete."""

    model: type[Model]
    entity: str  # what triggers call it
    exclude: frozenset[str]

    @cached_property
    def fields(self) -> dict[str, AnyField]:
        """What events tell, by its name in them: every column but the excluded ones. A reference has its bare name."""
        return {
            field.name: field
            for field in self.model._meta.concrete_fields
            if field.name not in self.exclude and not field.primary_key
        }

    @cached_property
    def quiet(self) -> tuple[str, ...]:
        """Fields that change with every save: told, and no reason to fire."""
        return tuple(name for name, field in self.fields.items() if getattr(field, "auto_now", False))

    @cached_property
    def pk(self) -> AnyField:
        return self.model._meta.pk

    def pk_of(self, instance: Model) -> str | None:
        """The primary key as text, which the statements cast back; None when it has none yet.

        One that the database makes is an expression until the row is there.
        """
        value = getattr(instance, self.pk.attname)
        return None if value is None or hasattr(value, "resolve_expression") else self.pk_text(value)

    def pk_text(self, value: Any) -> str:
        return str(self.pk.get_prep_value(value))


_watches: dict[type[Model], Watch] = {}


def add(watch: Watch) -> None:
    _watches[watch.model] = watch


def forget(model: type[Model]) -> None:
    """Watch it no longer. For tests that bring their own."""
    _watches.pop(model, None)


def find(model: type[Model] | None) -> Watch | None:
    """The watch on exactly this model's table."""
    return _watches.get(model) if model is not None else None


def watches_of(model: type[Model]) -> list[Watch]:
    """The watches on the tables that a row of this model is in: its own, and those of models it inherits from."""
    concrete = model._meta.concrete_model
    if not _watches or concrete is None:
        return []
    return [watch for one in (concrete, *concrete._meta.all_parents) if (watch := _watches.get(one))]


def named(entity: object) -> Watch | None:
    """The watch that triggers call by this name, or None."""
    return next((watch for watch in _watches.values() if watch.entity == entity), None)


def all_watches() -> list[Watch]:
    """By their names."""
    return sorted(_watches.values(), key=lambda watch: watch.entity)
