"""What the code of a step runs for: whatever it changes carries this cause.

The engine sets it around a step type's own code and nowhere else. Who records that something happened asks for it,
and appends the event with `depth + 1`, `caused_by` and the trace id of the run. So a chain of workflows that start
each other can be read, and ends (docs/architecture.md).

A `ContextVar`: threads of the engine keep theirs apart, and asyncio and asgiref take it along. A thread that a step
type starts by itself begins without a cause, unless it runs in a copy of the step's context (`contextvars`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final
from uuid import UUID

DEEPEST = 32_767  # a smallint; the dispatcher goes no further than a hundred


@dataclass(frozen=True)
class Cause:
    """A run that may change things. `depth`: how many runs led to its event."""

    run_id: UUID
    workflow_id: UUID
    trace_id: str
    depth: int


_current: ContextVar[Cause | None] = ContextVar("lightfield_cause", default=None)


# The run for which this code acts; None for everybody but a step: people, the API, the engine itself. Not a function around
# it: every save of a watched record asks twice.
current: Final = _current.get


def depth_of_next(cause: Cause | None) -> int:
    """The depth of an event that this run led to; 0 without one."""
    return min(cause.depth + 1, DEEPEST) if cause else 0


@contextmanager
def acting_for(cause: Cause | None) -> Iterator[None]:
    """Inside the block, what is changed was caused by this run; afterwards, by whom it was before."""
    token = _current.set(cause)
    try:
        yield
    finally:
        _current.reset(token)
