"""What a step type is, and the registry of those installed.

To add one: subclass `FastStepType` or `SlowStepType`, give it a `Config` and an `Output` and decorate it with `@register`;
`executions/steps/log.py` is the smallest example, `docs/howto/add-a-step-type.md` the way. An app imports its step modules
in `AppConfig.ready()`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from lightfield.kernel.errors import PermanentStepError, Problem, RequestRefused, TransientStepError
from workflows import shapes
from workflows.expressions import is_template
from workflows.problems import problems_of_model

Lane = Literal["fast", "http", "ai"]
JsonObject = dict[str, Any]


class StepConfig(BaseModel):
    """Base of every step type's config: unknown fields are refused, nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StepOutput(BaseModel):
    """Base of what step types declare as their output: these fields and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


C = TypeVar("C", bound=BaseModel)


def no_lease() -> None:
    """Nobody else could have taken the step over."""


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """Who is asking: one attempt of one step of one run. What the step changes carries that run as its cause by itself."""

    run_id: str
    step_key: str
    attempt: int  # counts from 1
    trace_id: str  # 32 hex digits
    idempotency_key: str  # the same on every attempt of the step
    step_run_id: int = 0  # which row of the engine, and
    fence: int = 0  # as whose: what a step type journals of its own is written under both
    is_replay: bool = False  # the run does again what another did
    deadline: float  # `time.monotonic()` instant by which `execute` must have returned
    is_retry: bool = False  # an attempt of this step was sent before
    held_for: str | None = (
        None  # the code for which the attempt before was put back unsent: it has waited for its turn
    )
    # A slow step calls it right before the first byte leaves, after every wait (lookup, connecting): it raises when
    # the step is no longer this worker's to send for. Let that exception pass.
    before_sending: Callable[[], None] = no_lease

    def seconds_left(self) -> float:
        """Until the deadline, always more than 0: the timeout for what the step waits for.

        Raises:
            TransientStepError: `step.timeout`; nothing is left.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TransientStepError("step.timeout", f"No time is left in attempt {self.attempt}.")
        return left


@dataclass(frozen=True)
class Completed:
    """The step is done. `output` is JSON-safe and is what later steps read under the step's key."""

    output: JsonObject
    skip_rest: bool = False  # the later steps become `skipped` and the run `completed`
    logged: str | None = None  # a message for the timeline (`step.logged`)
    answer: JsonObject | None = None  # of a transactional step: what the ledger keeps of its effect


@dataclass(frozen=True)
class Wait:
    """Wake the run again after `seconds`; the step's output is then `{"until": <instant>}`."""

    seconds: float


class StepType(ABC, Generic[C]):
    """One kind of step. Instances are shared between threads and hold no state."""

    name: ClassVar[str]
    lane: ClassVar[Lane]
    summary: ClassVar[str]  # one line for people
    # A field of type `workflows.secret_text.SecretSlot`, at any depth, takes templates with secrets; no other does.
    Config: ClassVar[type[BaseModel]]
    Output: ClassVar[type[BaseModel] | None] = None  # None: it may be any object

    def output_schema(self, config: JsonObject) -> shapes.Schema | None:  # noqa: ARG002  for types that need it
        """JSON Schema of the output of a step with this config, which may hold templates; None: it may be any object.

        The engine keeps what the step returns, whatever it is. Publishing warns of templates that read fields which are
        not in here, and `lightfield.testing` refuses outputs that are not like this.
        """
        return shapes.of_model(self.Output) if self.Output else None

    def unpublishable(self, config: JsonObject) -> list[Problem]:  # noqa: ARG002  for types that need it
        """What else is wrong with a config whose shape is right, pointers into it. Templates are not filled in."""
        return []

    def warnings(self, config: JsonObject, origins: Mapping[str, str]) -> list[Problem]:  # noqa: ARG002  for types that need it
        """What may go wrong with a config whose shape is right, pointers into it: publishing tells, and refuses nothing.

        `origins` says where data can come from: `trigger` and the keys of earlier steps, each with its type.
        """
        return []


class FastStepType(StepType[C]):
    """Computes its outcome in milliseconds: no network, no waiting, and nothing written that must be written once."""

    lane: ClassVar[Lane] = "fast"

    @abstractmethod
    def execute(self, config: C, context: StepContext) -> Completed | Wait:
        """Do the step. Raises `StepError`."""


class TransactionalStepType(FastStepType[C]):
    """A fast step that reads or writes this database: `execute` shares one transaction with all that follows from it.

    What it wrote, its effect, its outcome and the next step are there together or not at all, so whatever dies or
    runs twice, it is written exactly once. `execute` may be called again after its transaction was undone: it changes
    nothing but rows, on Django's default connection, and commits nothing itself.

    It may raise `WriteConflict` where another try would find what somebody else has just committed.
    """

    # False: it only reads, and leaves nothing in the ledger.
    has_effect: ClassVar[bool] = True

    @abstractmethod
    def execute(self, config: C, context: StepContext) -> Completed:
        """Do the step, inside the transaction. Raises `StepError` or `WriteConflict`; all that it wrote is undone."""


class SlowStepType(StepType[C]):
    """Calls the outside, in a worker of its own lane and outside every transaction."""

    seconds: ClassVar[float] = 30.0  # that one attempt may take, unless `time_limit` says otherwise
    # True: `freeze` computes and does nothing else, takes milliseconds and cannot end its process. Then it may be asked
    # while the outcome of the step before it is still to be written, which saves a transaction. A `freeze` of one's own
    # has to say so.
    freezes_early: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "freeze" in cls.__dict__ and "freezes_early" not in cls.__dict__:
            cls.freezes_early = False

    def secrets_go_to(self, config: JsonObject) -> object:  # noqa: ARG002  for those who know
        """The URL that secrets are sent to, as written in the config; None: it is known when the step runs.

        Publishing judges its host, unless that is filled in by a template.
        """
        return None

    def freeze(self, config: C) -> JsonObject:
        """The request as JSON, by default the config. It is stored before anything is sent and never rendered again.

        A `SecretText` goes into it as `as_json()`: a reference. Its value is there in `execute` only, by egress.
        """
        return config.model_dump(mode="json", by_alias=True)

    @abstractmethod
    def execute(self, request: JsonObject, context: StepContext) -> JsonObject:
        """Send what was frozen and return the step's output. Raises `StepError`."""

    def time_limit(self, request: JsonObject) -> float:  # noqa: ARG002  for types whose authors choose it
        """Seconds that one attempt may take in all."""
        return self.seconds


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
    if problems := config_problems(step_type.Config, raw, at=at):
        return problems
    return [replace(problem, pointer=at + problem.pointer) for problem in step_type.unpublishable(raw)]


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
