"""W3C Trace Context, the `traceparent` header: who called whom, across systems.

Source: https://www.w3.org/TR/trace-context/ (version 00), sections 3.2 and 4.3. An id is lower-case hex and
never all zeros. A header that breaks the grammar is treated as absent: the caller's tracing must not be able
to break the call.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_VERSION_00 = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
# A later version keeps these four fields and may append others behind another dash.
_LATER_VERSION = re.compile(r"(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_MAX_CHARS = 512
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16


@dataclass(frozen=True)
class TraceParent:
    """One caller's position in a trace: 32 hex digits of trace, 16 of span."""

    trace_id: str
    span_id: str
    is_sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"


def parse(header: str | None) -> TraceParent | None:
    """The caller's position, or None when the header is absent or not valid."""
    if not header or len(header) > _MAX_CHARS:
        return None
    text = header.strip(" \t")
    match = _VERSION_00.fullmatch(text) or _LATER_VERSION.fullmatch(text)
    if match is None:
        return None
    trace_id, span_id, flags = match.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceParent(trace_id, span_id, is_sampled=bool(int(flags, 16) & 1))


def new_trace_id() -> str:
    """32 hex digits, random, never all zeros."""
    return _random_hex(16)


def new_span_id() -> str:
    """16 hex digits, random, never all zeros."""
    return _random_hex(8)


def outgoing(trace_id: str) -> str:
    """The header of one request sent on behalf of `trace_id`: a new span under it."""
    return str(TraceParent(trace_id, new_span_id()))


def _random_hex(length_bytes: int) -> str:
    while not any(raw := os.urandom(length_bytes)):
        pass  # all zeros means "no trace" to every receiver
    return raw.hex()
