"""What goes between the parts of an agent. Pure, and no type of the library that speaks with models: the journal outlives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from workflows.step_types import no_lease

JsonObject = dict[str, Any]
Provider = Literal["openai", "anthropic"]

FINAL: Final = "final_output"  # the tool by which a model gives an output that has a schema


@dataclass(frozen=True)
class ModelSpec:
    """Which model, and where. As it stands in a frozen request."""

    provider: Provider
    name: str
    base_url: str
    api_key: (
        tuple[Any, ...] | None
    )  # parts of a `SecretText` as JSON; None: LIGHTFIELD_AI_API_KEY of the worker


@dataclass(frozen=True)
class ToolSpec:
    """A tool as the model is told of it."""

    name: str
    description: str
    parameters: JsonObject  # JSON Schema of its arguments, an object


@dataclass(frozen=True)
class Usage:
    """Of one answer, as the provider counts."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True)
class CallWanted:
    """A tool call as the model asked for it. Nothing about it can be trusted."""

    id: str  # the provider's
    name: str
    arguments: JsonObject | str  # text: what could not be read as an object


@dataclass(frozen=True)
class Reply:
    """What a model answered. `raw` is the answer as the library keeps it, for the history of later turns."""

    text: str = ""
    calls: tuple[CallWanted, ...] = ()
    usage: Usage = Usage()
    model: str = ""  # as the provider names it
    finish: Literal["stop", "length", "tool_calls", "content_filter", "error", "unknown"] = "stop"
    raw: JsonObject | None = None


@dataclass(frozen=True)
class CallResult:
    """What the model is told of one of its calls."""

    id: str
    name: str
    content: Any  # JSON
    is_error: bool = False


@dataclass(frozen=True)
class Told:
    """What follows an answer: the result of each of its calls, or what is wrong with it."""

    results: tuple[CallResult, ...] = ()
    text: str = ""


Exchange: TypeAlias = tuple[Reply, Told]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One turn of a model: all that was said so far."""

    model: ModelSpec
    instructions: str
    prompt: str
    exchanges: tuple[Exchange, ...] = ()
    tools: tuple[ToolSpec, ...] = ()  # with `FINAL` among them when the output has a schema
    must_call: bool = False  # an answer without a call is of no use
    most_output_tokens: int
    seconds: float  # until the whole answer must be there, more than 0
    key: str  # the idempotency key of this turn: the same whenever it is asked
    trace_id: str
    is_retry: bool = False  # an attempt of the step was sent before
    held_for: str | None = None  # the code for which the attempt before was put back unsent
    before_sending: Callable[[], None] = field(default=no_lease)
