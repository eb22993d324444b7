"""What is known of a value before it is there, as JSON Schema: enough to tell that a path leads nowhere. Pure.

Outputs of steps and triggers are described this way. Whatever a schema leaves open may hold anything: a path is called
dead only where the schema names the fields there are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from pydantic import BaseModel

logger = logging.getLogger(__name__)

Schema = dict[str, Any]

ANYTHING: Final[Schema] = {}
TEXT: Final[Schema] = {"type": "string"}
MARK_OF_SAMPLES: Final = "x-from-a-sample"  # another value of the kind may have more
MOST_SAMPLED: Final = 5_000  # values of a sample that are looked at
SCALARS: Final = frozenset({"string", "number", "integer", "boolean", "null"})
MOST_ALTERNATIVES: Final = 2_000  # schemas that are gone through for one path: references can multiply them
OF_LISTS: Final = frozenset({"first", "last"})


@dataclass(frozen=True)
class DeadEnd:
    """Where a path stops: after `walked` parts, because there are only the fields `known`, or none at all."""

    walked: int
    known: tuple[str, ...]
    holds: str  # what a schema calls the value there: object, array, string …


def declared(name: str, describe: Callable[[], Schema | None]) -> Schema | None:
    """What an app's code says of its output, or of its config. If it cannot, nothing is known: a warning is not worth a failed publish."""
    try:
        return describe()
    except Exception:
        logger.exception("not_described", extra={"type": name})
        return None


@lru_cache(maxsize=256)
def of_model(model: type[BaseModel]) -> Schema:
    """The schema of what a pydantic model writes."""
    return model.model_json_schema(mode="serialization")


def of_fields(fields: Mapping[str, Schema]) -> Schema:
    """An object with these fields and no others."""
    return {"type": "object", "properties": dict(fields), "additionalProperties": False}


def of_sample(value: Any) -> Schema:
    """A value like this one. Marked, because the next one may have fields that this one has not."""
    counted = iter(range(MOST_SAMPLED))
    return {**_like(value, counted), MARK_OF_SAMPLES: True}


def _like(value: Any, counted: Iterator[int]) -> Schema:
    if next(counted, None) is None:
        return ANYTHING
    if isinstance(value, dict):
        return of_fields({name: _like(item, counted) for name, item in value.items()})
    if isinstance(value, list):
        return {"type": "array", "items": _like_one_of(value, counted)}
    if isinstance(value, bool):
        return {"type": "boolean"}
    return TEXT if isinstance(value, str) else {"type": "number"} if value is not None else ANYTHING


def _like_one_of(items: list[Any], counted: Iterator[int]) -> Schema:
    return {"anyOf": [_like(item, counted) for item in items[:20]]} if 0 < len(items) <= 20 else ANYTHING


def dead_end(schema: Schema, path: tuple[str | int, ...]) -> DeadEnd | None:
    """Where a path into such a value stops; None when it may lead somewhere."""
    return _walk(schema, path, 0, schema, iter(range(MOST_ALTERNATIVES)))


def _walk(
    schema: Any, path: tuple[str | int, ...], walked: int, whole: Schema, left: Iterator[int]
) -> DeadEnd | None:
    if walked == len(path) or not isinstance(schema, dict):
        return None
    found: list[DeadEnd] = []
    for one in _alternatives(schema, whole, 0, left):
        inner = _step(one, path[walked])
        end = inner if isinstance(inner, DeadEnd) else _walk(inner, path, walked + 1, whole, left)
        if end is None:
            return None
        found.append(end if inner is not end else DeadEnd(walked, end.known, end.holds))
    return max(found, key=lambda end: end.walked, default=None)


def _alternatives(schema: Any, whole: Schema, depth: int, left: Iterator[int]) -> Iterator[Schema]:
    """The schemas that a value may follow, references resolved; null is passed over: it is no place to look for fields.

    When there is nothing `left` it may be anything.
    """
    if not isinstance(schema, dict) or next(left, None) is None:
        yield ANYTHING  # true and false are schemas too
    elif "$ref" in schema and depth < 20:
        name = str(schema["$ref"]).rpartition("/")[2]
        yield from _alternatives(whole.get("$defs", {}).get(name, ANYTHING), whole, depth + 1, left)
    elif branches := schema.get("anyOf") or schema.get("oneOf"):
        for branch in branches:
            if branch != {"type": "null"}:
                yield from _alternatives(branch, whole, depth + 1, left)
    else:
        yield schema


def _step(schema: Schema, part: str | int) -> Any:
    """The schema of that part, or a `DeadEnd` without its place; anything that is not known is `ANYTHING`."""
    holds = schema.get("type")
    if not isinstance(holds, str):  # one of several, or nobody says
        return ANYTHING
    if holds == "object":
        properties: dict[str, Any] = schema.get("properties", {})
        if str(part) in properties:
            return properties[str(part)]
        others = "patternProperties" in schema or schema.get(
            "additionalProperties", "properties" not in schema
        )
        return others if isinstance(others, dict) else ANYTHING if others else _end(holds, properties)
    if holds == "array":
        if isinstance(part, int) or part in OF_LISTS:
            return schema.get("items", ANYTHING)
        return {"type": "integer"} if part == "size" else _end(holds, {})
    if holds in SCALARS:
        return {"type": "integer"} if holds == "string" and part == "size" else _end(holds, {})
    return ANYTHING


def _end(holds: str, properties: Mapping[str, Any]) -> DeadEnd:
    return DeadEnd(0, tuple(properties), holds)
