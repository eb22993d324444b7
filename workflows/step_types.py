"""What a step type is, and the registry of those installed.

To add one: subclass `FastStepType` or `SlowStepType`, give it a `Config` and decorate it with `@register`;
`executions/steps/log.py` is the smallest example. An app imports its step modules in `AppConfig.ready()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from lightfield.kernel.errors import PermanentStepError, Problem, RequestRefused
from workflows.expressions import is_template
from workflows.problems import problems_of_model

Lane = Literal["fast", "http", "ai"]
JsonObject = dict[str, Any]


class StepConfig(BaseModel):
    """Base of every step type's config: unknown fields are refused, nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


C = TypeVar("C", bound=BaseModel)


def _no_lease() -> None:
    """Nobody else could have taken the step over."""


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """Who is asking: one attempt of one step of one run. What the step changes carries that run as its cause by itself."""

    run_id: str
    step_key: str
    attempt: int  # counts from 1
    trace_id: str  # 32 hex digits
    idempotency_key: str  # the same on every attempt of the step
    deadline: float  # `time.monotonic()` instant by which `run` or `send` must have returned
    is_retry: bool = False  # an attempt of this step was sent before
    held_for: str | None = (
        None  # the code for which the attempt before was put back unsent: it has waited for its turn
    )
    # A slow step calls it right before the first byte leaves, after every wait (lookup, connecting): it raises when
    # the step is no longer this worker's to send for. Let that exception pass.
    before_sending: Callable[[], None] = _no_lease


@dataclass(frozen=True)
class Completed:
    """The step is done. `output` is JSON-safe and is what later steps read under the step's key."""

    output: JsonObject
    skip_rest: bool = False  # the later steps become `skipped` and the run `completed`
    logged: str | None = None  # a message for the timeline (`step.logged`)


@dataclass(frozen=True)
class Wait:
    """Wake the run again after `seconds`; the step's output is then `{"until": <instant>}`."""

    seconds: float


class StepType(ABC, Generic[C]):
    """One kind of step. Instances are shared between threads and hold no state."""

    name: ClassVar[str]
    lane: ClassVar[Lane]
    summary: ClassVar[str]  # one line for people
    Config: ClassVar[type[BaseModel]]


class FastStepType(StepType[C]):
    """Runs inside the engine's own transaction: no network, no waiting, milliseconds."""

    lane: ClassVar[Lane] = "fast"

    @abstractmethod
    def run(self, config: C, context: StepContext) -> Completed | Wait:
        """Do the step. Raises `StepError`."""


class SlowStepType(StepType[C]):
    """Calls the outside, in a worker of its own lane and outside every transaction."""

    # True: `freeze` computes and does nothing else, takes milliseconds and cannot end its process. Then it may be asked
    # while the outcome of the step before it is still to be written, which saves a transaction.
    freezes_early: ClassVar[bool] = False

    @abstractmethod
    def freeze(self, config: C) -> JsonObject:
        """The request as JSON. It is stored before anything is sent and never rendered again."""

    @abstractmethod
    def send(self, request: JsonObject, context: StepContext) -> JsonObject:
        """Send the frozen request and return the step's output. Raises `StepError`."""

    @abstractmethod
    def time_limit(self, request: JsonObject) -> float:
        """Seconds that one attempt may take in all."""


AnyStepType = StepType[Any]
T = TypeVar("T", bound=type[AnyStepType])

_registry: dict[str, AnyStepType] = {}


def register(step_type: T) -> T:
    """Class decorator: make a step type known under its `name`."""
    if step_type.name in _registry and type(_registry[step_type.name]).__qualname__ != step_type.__qualname__:
        raise ValueError(f"two step types are called {step_type.name!r}")
    _registry[step_type.name] = step_type()
    return step_type


def unregister(name: str) -> None:
    """Forget a step type. For tests that bring their own."""
    _registry.pop(name, None)


def find(name: str) -> AnyStepType | None:
    """The step type of that name, or None when it is not installed."""
    return _registry.get(name)


def get(name: str) -> AnyStepType:
    """The step type of that name. Raises `RequestRefused` (`config.unknown_step_type`)."""
    step_type = find(name)
    if step_type is None:
        raise RequestRefused("config.unknown_step_type", f"There is no step type {name!r}.")
    return step_type


def all_types() -> list[AnyStepType]:
    """Every installed step type, by name."""
    return [_registry[name] for name in sorted(_registry)]


def validate_config(step_type: AnyStepType, raw: JsonObject, *, at: str = "") -> list[Problem]:
    """What is wrong with a config as written, before its templates are filled in.

    A string with a template in it may become anything, so it is accepted wherever another type or form is
    wanted; `load_config` judges the rendered value. `at` is the config's pointer in the caller's document.
    """
    return config_problems(step_type.Config, raw, at=at)


def config_problems(model: type[BaseModel], raw: JsonObject, *, at: str = "") -> list[Problem]:
    """As `validate_config`, for any model whose document may hold templates."""
    try:
        model.model_validate(raw)
    except ValidationError as error:
        return problems_of_model(error, raw, code="config.invalid", at=at, unless=is_template)
    return []


def load_config(step_type: StepType[C], rendered: JsonObject) -> C:
    """The typed config of a step whose templates are filled in.

    Raises:
        PermanentStepError: `config.invalid`; the metadata names the first field and lists every problem.
    """
    try:
        return cast(C, step_type.Config.model_validate(rendered))
    except ValidationError as error:
        problems = problems_of_model(error, rendered, code="config.invalid")
        first = problems[0]
        raise PermanentStepError(
            "config.invalid",
            f"{first.pointer}: {first.detail}" if first.pointer else first.detail,
            pointer=first.pointer,
            problems=[problem.as_json() for problem in problems[:20]],
        ) from None
