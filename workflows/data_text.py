"""What a template becomes where its author's words and the data filled in must stay told apart, as in what a model reads. Pure.

A config model says that a place is one by its type: `DataSlot`. There a template renders to a `DataText`: the author's text in
pieces, and between them the values with their JSON types and where they came from. No JSON can pass for one, and no data
for the author's words: only the templates make pieces, and what they fill in is data, whatever is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pydantic import BaseModel
from pydantic_core import CoreSchema, core_schema

from workflows.slots import Place, places_of

# A frozen request may have 10,000 values, 32 levels deep. What is beyond these goes into it as JSON text, which reads alike.
MOST_VALUES: Final = 1_000  # of the data of one text together
MOST_DEPTH: Final = 20


@dataclass(frozen=True)
class Data:
    """A value that a template filled in. `source`: the path that it came from; several are in order of the alphabet."""

    value: Any
    source: str


Piece: TypeAlias = str | Data


class DataText:
    """The author's text and data in their order. `str()` shows it as text, the data as JSON."""

    __slots__ = ("pieces",)

    def __init__(self, pieces: Iterable[Piece]) -> None:
        merged: list[Piece] = []
        for piece in pieces:
            if piece == "":
                continue
            if merged and isinstance(piece, str) and isinstance(merged[-1], str):
                merged[-1] += piece
            else:
                merged.append(piece)
        self.pieces: tuple[Piece, ...] = tuple(merged)

    @property
    def data(self) -> tuple[Data, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, Data))

    def __str__(self) -> str:
        return "".join(piece if isinstance(piece, str) else _text(piece.value) for piece in self.pieces)

    def __repr__(self) -> str:
        return f"DataText({list(self.pieces)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DataText) and self.pieces == other.pieces

    def __hash__(self) -> int:
        return hash(str(self))

    def as_json(self) -> list[Any]:
        """For a frozen request: `["Greet ", {"data": "Ada", "from": "trigger.name"}]`."""
        left = MOST_VALUES
        written: list[Any] = []
        for piece in self.pieces:
            if isinstance(piece, str):
                written.append(piece)
                continue
            taken = _values_in(piece.value, left)
            left -= taken or 0
            value = piece.value if taken is not None else _text(piece.value)
            written.append({"data": value, "from": piece.source})
        return written

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> CoreSchema:
        """Instances only: neither text nor any JSON becomes one. As JSON it is what a frozen request holds."""
        as_json = core_schema.plain_serializer_function_ser_schema(cls.as_json)
        return core_schema.is_instance_schema(cls, serialization=as_json)

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> dict[str, Any]:
        return {"type": "string"}


DataSlot: TypeAlias = str | DataText  # the type of a config's field that tells data apart


def pieces_of(value: DataSlot) -> list[Any]:
    """Of a slot's value, whether anything was filled in or not, as a frozen request holds it."""
    return value.as_json() if isinstance(value, DataText) else [value] if value else []


def slots_of(model: type[BaseModel]) -> frozenset[Place]:
    """The places of a config that tell data apart."""
    return places_of(model, DataText)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _values_in(value: Any, most: int) -> int | None:
    """How many values there are within, scalars left out that stand alone; None: more than `most`, or too deep."""
    count = 0
    waiting = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, dict | list):
            count += len(item)
            if count > most or depth > MOST_DEPTH:
                return None
            waiting.extend(
                (inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)
            )
    return count
