"""Where in a step's config a value of a special type may stand, read off the config's model. Pure.

A model says by a field's type that a place takes more than JSON: `SecretSlot` (workflows.secret_text), `DataSlot`
(workflows.data_text).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

ANY: Final = "*"  # in a place: any key of an object, any item of a list

Place = tuple[str, ...]


@lru_cache(maxsize=256)
def places_of(model: type[BaseModel], kind: type) -> frozenset[Place]:
    """The places of a config whose type is `kind` or may be, `ANY` for any key: `("headers", "*")`."""
    return frozenset(_places(model, kind, ()))


def is_slot(place: Iterable[str | int], slots: Iterable[Place]) -> bool:
    path = [str(part) for part in place]
    return any(
        len(slot) == len(path) and all(want in (ANY, have) for want, have in zip(slot, path, strict=True))
        for slot in slots
    )


def _places(annotation: Any, kind: type, seen: tuple[type, ...]) -> Iterator[Place]:
    if annotation is kind:
        yield ()
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _places(arguments[0], kind, seen)
    elif origin in (Union, UnionType):
        for branch in arguments:
            yield from _places(branch, kind, seen)
    elif origin is dict:
        yield from ((ANY, *place) for place in _places(arguments[1], kind, seen))
    elif origin in (list, tuple, set, frozenset):
        yield from ((ANY, *place) for place in _places(arguments[0], kind, seen))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in seen:
        for name, field in annotation.model_fields.items():
            for place in _places(field.annotation or NoneType, kind, (*seen, annotation)):
                yield (field.alias or name, *place)
