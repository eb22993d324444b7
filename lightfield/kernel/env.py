"""Typed reading of environment variables. A wrong value stops the start with one clear line."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from typing import TypeVar

from lightfield.kernel.errors import LightfieldError

T = TypeVar("T")


class InvalidSetting(LightfieldError):
    """An environment variable has a value that cannot be used."""

    def __init__(self, name: str, wanted: str) -> None:
        super().__init__("engine.invalid_setting", f"{name} must be {wanted}.", variable=name)


def _read(name: str, default: T, convert: Callable[[str], T], wanted: str) -> T:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        return convert(raw)
    except ValueError as error:
        raise InvalidSetting(name, f"{wanted}, not {raw!r}") from error


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def secret(name: str) -> str:
    """A value that must never appear in a message; empty when unset."""
    return os.environ.get(name, "").strip()


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = text(name, default)
    if value not in allowed:
        raise InvalidSetting(name, f"one of {', '.join(allowed)}, not {value!r}")
    return value


def number(name: str, default: float, *, least: float, most: float) -> float:
    """A number within [least, most], e.g. seconds."""
    value = _read(name, default, float, f"a number from {least:g} to {most:g}")
    if not least <= value <= most:
        raise InvalidSetting(name, f"a number from {least:g} to {most:g}, not {value:g}")
    return value


def whole(name: str, default: int, *, least: int, most: int) -> int:
    value = _read(name, default, int, f"a whole number from {least} to {most}")
    if not least <= value <= most:
        raise InvalidSetting(name, f"a whole number from {least} to {most}, not {value}")
    return value


def listing(name: str) -> list[str]:
    """Comma-separated values without the blanks around them."""
    return [item.strip() for item in text(name).split(",") if item.strip()]


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(name: str) -> tuple[Network, ...]:
    """Comma-separated addresses and CIDRs."""
    found = []
    for item in listing(name):
        try:
            found.append(ipaddress.ip_network(item))
        except ValueError as error:
            raise InvalidSetting(name, f"addresses and CIDRs, not {item!r}") from error
    return tuple(found)
