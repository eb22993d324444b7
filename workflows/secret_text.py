"""What a template with `{{ secret.name }}` becomes: text with references in it, never with values. Pure.

A config model says that a place takes secrets by its type: `SecretSlot`. Everywhere else pydantic refuses a `SecretText`, and
before that publishing refuses the template. No JSON can pass for one: only the templates make them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from pydantic import BaseModel
from pydantic_core import CoreSchema, core_schema

from workflows.slots import Place, places_of

ROOT: Final = "secret"  # {{ secret.name }}
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
NOT_ALLOWED: Final = "secret.not_allowed_here"

Part: TypeAlias = "str | SecretName"


class SecretName(str):
    """The name of a secret where its value will stand. Its type tells it from text."""

    __slots__ = ()


class SecretText:
    """Text and references in their order. `str()` shows it as its author wrote it, without any value."""

    __slots__ = ("parts",)

    def __init__(self, parts: Iterable[Part]) -> None:
        merged: list[Part] = []
        for part in filter(None, parts):
            if merged and not isinstance(part, SecretName) and not isinstance(merged[-1], SecretName):
                merged[-1] += part
            else:
                merged.append(part)
        self.parts: tuple[Part, ...] = tuple(merged)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(str(part) for part in self.parts if isinstance(part, SecretName))

    def __str__(self) -> str:
        return "".join(
            f"{{{{ secret.{part} }}}}" if isinstance(part, SecretName) else part for part in self.parts
        )

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and self.as_json() == other.as_json()

    def __hash__(self) -> int:
        return hash(self.parts)

    def as_json(self) -> list[Any]:
        """For a frozen request: `["Bearer ", {"secret": "stripe"}]`."""
        return [{ROOT: str(part)} if isinstance(part, SecretName) else part for part in self.parts]

    @classmethod
    def from_json(cls, parts: Iterable[Any]) -> SecretText:
        return cls(part if isinstance(part, str) else SecretName(part[ROOT]) for part in parts)

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> CoreSchema:
        """Instances only: neither text nor any JSON becomes one. As JSON it is what a frozen request holds."""
        as_json = core_schema.plain_serializer_function_ser_schema(cls.as_json)
        return core_schema.is_instance_schema(cls, serialization=as_json)

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> dict[str, Any]:
        return {"type": "string"}


SecretSlot: TypeAlias = str | SecretText  # the type of a config's field that takes secrets


def parts_of(value: SecretSlot) -> tuple[Part, ...]:
    """Of a slot's value, whether there is a secret in it or not."""
    return value.parts if isinstance(value, SecretText) else (value,)


def slots_of(model: type[BaseModel]) -> frozenset[Place]:
    """The places of a config that take secrets."""
    return places_of(model, SecretText)
