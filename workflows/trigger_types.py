"""The registry of trigger types: their names and configs, so that publishing can judge them.

What makes a trigger fire belongs to the app `triggers`, which registers its kinds here when it starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from workflows.shapes import Schema

Describe = Callable[[dict[str, Any]], Schema | None]

_registry: dict[str, type[BaseModel]] = {}
_outputs: dict[str, Describe] = {}


def register_trigger_type(name: str, config: type[BaseModel], output: Describe | None = None) -> None:
    """Make a trigger type known. Registering the same again changes nothing.

    Args:
        output: for a config as written, the JSON Schema of what steps read as `trigger`; None: it may be anything.
    """
    if _registry.setdefault(name, config) is not config:
        raise ValueError(f"two trigger types are called {name!r}")
    if output is not None:
        _outputs[name] = output


def unregister_trigger_type(name: str) -> None:
    """Forget a trigger type. For tests that bring their own."""
    _registry.pop(name, None)
    _outputs.pop(name, None)


def find_trigger_type(name: str) -> type[BaseModel] | None:
    """The config model of that trigger type, or None when there is none."""
    return _registry.get(name)


def output_schema_of(name: str, config: dict[str, Any]) -> Schema | None:
    """The JSON Schema of what steps read as `trigger`, or None when it may be anything."""
    describe = _outputs.get(name)
    return describe(config) if describe else None


def trigger_type_names() -> list[str]:
    return sorted(_registry)
