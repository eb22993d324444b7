"""What a kind of trigger is, and the registry of those installed.

To add one: subclass `TriggerKind`, decorate it with `@register`, and import its module in `triggers.kinds`;
`manual.py` is the smallest example. Whatever makes it fire then calls `triggers.outbox`.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from lightfield.kernel.errors import Problem
from workflows.shapes import Schema
from workflows.trigger_types import register_trigger_type

JsonObject = dict[str, Any]


class TriggerConfig(BaseModel):
    """Base of every kind's config: unknown fields are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TriggerKind:
    """One way to start a workflow. Instances are shared between threads and hold no state.

    Config: its shape is judged when a workflow is published. The questions below are asked about a config
    as written, whose shape may still be wrong; pointers are relative to the config.
    """

    name: ClassVar[str]
    summary: ClassVar[str]  # one line for people
    Config: ClassVar[type[BaseModel]]

    def unstorable(self, config: JsonObject) -> list[Problem]:  # noqa: ARG002  for kinds that need it
        """What must not be stored even in a draft."""
        return []

    def taken_out(self, config: JsonObject) -> tuple[JsonObject, str | None]:
        """The config as it may be stored, and the secret that was in it. `unstorable` found no fault with it."""
        return config, None

    def unpublishable(self, config: JsonObject) -> list[Problem]:  # noqa: ARG002  for kinds that need it
        """What has the right shape and still cannot be published."""
        return []

    def sample(self, config: JsonObject) -> Any:
        """What somebody who starts the workflow by hand is offered as payload; None: nothing is known."""
        return config.get("sample")

    def output_schema(self, config: JsonObject) -> Schema | None:  # noqa: ARG002  for kinds that need it
        """JSON Schema of what the steps read as `trigger`; None: it may be anything.

        Publishing warns of templates that read fields which are not in there.
        """
        return None


K = TypeVar("K", bound=type[TriggerKind])

_registry: dict[str, TriggerKind] = {}


def register(kind: K) -> K:
    """Class decorator: make a kind known under its `name`."""
    installed = kind()
    register_trigger_type(kind.name, kind.Config, installed.output_schema)
    _registry[kind.name] = installed
    return kind


def find(name: object) -> TriggerKind | None:
    """The kind of that name, or None when it is not installed."""
    return _registry.get(name) if isinstance(name, str) else None
