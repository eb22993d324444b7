"""The registry of trigger types: their names and configs, so that publishing can judge them.

What makes a trigger fire belongs to the app `triggers`, which registers its kinds here when it starts.
"""

from __future__ import annotations

from pydantic import BaseModel

_registry: dict[str, type[BaseModel]] = {}


def register_trigger_type(name: str, config: type[BaseModel]) -> None:
    """Make a trigger type known. Registering the same again changes nothing."""
    if _registry.setdefault(name, config) is not config:
        raise ValueError(f"two trigger types are called {name!r}")


def unregister_trigger_type(name: str) -> None:
    """Forget a trigger type. For tests that bring their own."""
    _registry.pop(name, None)


def find_trigger_type(name: str) -> type[BaseModel] | None:
    """The config model of that trigger type, or None when there is none."""
    return _registry.get(name)


def trigger_type_names() -> list[str]:
    return sorted(_registry)
