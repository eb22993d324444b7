"""What an agent may be permitted: kinds of tools, and the registry of those installed.

A step lists permissions, `{"type": "read_records", "entities": ["contact"]}`; each is of a `ToolKind`, which makes of them
the tools that the model is told of. What was not permitted does not exist for the step: a tool judges every call itself,
by what it was made with, and never by what the model was told.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

from executions.agents.values import JsonObject, ToolSpec
from lightfield.kernel.errors import Problem, TransientStepError
from workflows.step_types import no_lease


class Grant(BaseModel):
    """Base of what a step's `tools` may list. No field of it takes a template: a permission is fixed when it is published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str


AnyGrant: TypeAlias = Grant  # what `ToolKind.Grant` hides from the methods beside it
G = TypeVar("G", bound=Grant)


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """Who calls: one tool call of one step of one run. The step is the principal, and nobody else."""

    run_id: str
    step_key: str
    attempt: int
    trace_id: str
    key: str  # the idempotency key of this call: the same whenever it is made
    deadline: float  # `time.monotonic()`
    is_repeat: bool = False  # the request of this very call may have been sent before
    is_retry: bool = False  # it is the first request of an attempt that follows one which was sent
    held_for: str | None = None  # … which follows one that was put back unsent, for this code
    before_sending: Callable[[], None] = field(default=no_lease)

    def seconds_left(self) -> float:
        """More than 0. Raises TransientStepError: `step.timeout`."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TransientStepError("step.timeout", "No time is left for the tool.")
        return left


class Tool(ABC):
    """One tool that a model may call. Immutable, made anew for each attempt."""

    spec: ToolSpec
    # reads: rows or nothing, may be repeated. writes: rows, inside a transaction that also journals the call. sends: a
    # request to the outside, frozen and journaled before it leaves.
    effect: ClassVar[Literal["reads", "writes", "sends"]]

    def judge(self, arguments: JsonObject) -> None:  # noqa: B027  most have nothing to refuse before their schema
        """Refuse what is not permitted, whatever else is wrong with the arguments: it is asked before their schema is.

        So that an attempt is told as one. `call` judges by itself. Raises PermanentStepError: `ai.permission_denied`.
        """

    def freeze(self, arguments: JsonObject, context: ToolContext) -> JsonObject:  # noqa: ARG002  for tools that send
        """Of a tool that sends: the request, judged and fixed, for every attempt the same. By default the arguments."""
        return arguments

    @abstractmethod
    def call(self, asked: JsonObject, context: ToolContext) -> Any:
        """Do it, and return what the model is told, as JSON. `asked`: the model's arguments, or what `freeze` made of them.

        Raises:
            PermanentStepError: the model is told the code, the message and the metadata, and the step goes on. What the
                permissions do not allow is `ai.permission_denied`, whether or not it exists.
            TransientStepError: the attempt ends, and the next one makes this call again under the same key.
            WriteConflict: of a tool that writes; its transaction is undone and run again.
        """


class ToolKind(ABC, Generic[G]):
    """One kind of permission."""

    name: ClassVar[str]  # its `type`
    summary: ClassVar[str]  # one line for people
    Grant: ClassVar[type[Grant]]
    # What meets in one step when somebody can make a model carry out data: publishing warns.
    reads_private: ClassVar[bool] = False
    sends_out: ClassVar[bool] = False
    reads_outside: ClassVar[bool] = False  # what its tools tell the model was written by others

    def unpublishable(self, grant: JsonObject) -> list[Problem]:  # noqa: ARG002  for kinds that know more
        """What else is wrong with a permission whose shape is right, pointers into it."""
        return []

    def warnings(self, grant: JsonObject) -> list[Problem]:  # noqa: ARG002  for kinds that can be given too much
        """What publishing tells of a permission that is right but wide, pointers into it."""
        return []

    @abstractmethod
    def tools(self, grants: Sequence[G], all_grants: Sequence[AnyGrant]) -> list[Tool]:
        """The tools of all permissions of this kind in a step; `all_grants` are those of the other kinds as well."""


AnyKind = ToolKind[Any]
T = TypeVar("T", bound=type[AnyKind])

_registry: dict[str, AnyKind] = {}


def register(kind: T) -> T:
    """Class decorator: make a kind of permission known under its `name`."""
    if kind.name in _registry and type(_registry[kind.name]).__qualname__ != kind.__qualname__:
        raise ValueError(f"two kinds of tools are called {kind.name!r}")
    _registry[kind.name] = kind()
    return kind


def unregister(name: str) -> None:
    """Forget a kind. For tests that bring their own."""
    _registry.pop(name, None)


def find(name: str) -> AnyKind | None:
    """The kind of that name, or None when it is not installed."""
    return _registry.get(name)


def all_kinds() -> list[AnyKind]:
    """Every installed kind, by name."""
    return [_registry[name] for name in sorted(_registry)]
