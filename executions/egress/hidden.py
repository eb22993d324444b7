"""Bytes that no traceback shows: a report of an error prints the variables of its frames."""

from __future__ import annotations

from typing import Protocol

from executions.egress.headers import Fields
from executions.egress.policy import AllowList
from executions.egress.urls import Target


class Hidden(bytes):
    """Bytes like any others, but for their `repr`."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__


class LateHeaders(Protocol):
    """Headers that are known when a request is about to leave, and depend on where it goes."""

    def for_hop(self, target: Target, allow: AllowList, *, is_first: bool) -> Fields: ...
