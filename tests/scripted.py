"""Step types that do what the test says next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict

from workflows import step_types
from workflows.step_types import Completed, FastStepType, SlowStepType, StepContext, TransactionalStepType


class AnyConfig(BaseModel):
    model_config = ConfigDict(extra="allow")


class ScriptedSlow(SlowStepType[AnyConfig]):
    """A slow step whose `execute` is a function of (request, context)."""

    lane = "http"
    summary = "Does what a test says."
    Config = AnyConfig
    freezes_early = True

    def __init__(self) -> None:
        self.script: Callable[[dict[str, Any], StepContext], dict[str, Any]] = lambda request, context: {
            "ok": True
        }
        self.sent: list[tuple[dict[str, Any], StepContext]] = []

    def freeze(self, config: AnyConfig) -> dict[str, Any]:
        return dict(config.model_extra or {})

    def execute(self, request: dict[str, Any], context: StepContext) -> dict[str, Any]:
        self.sent.append((request, context))
        return self.script(request, context)

    def time_limit(self, request: dict[str, Any]) -> float:
        return 30.0


class ScriptedFast(FastStepType[AnyConfig]):
    """A fast step whose `execute` is a function of (config, context)."""

    summary = "Does what a test says."
    Config = AnyConfig

    def __init__(self) -> None:
        self.script: Callable[[AnyConfig, StepContext], Any] = lambda config, context: Completed({"ok": True})

    def execute(self, config: AnyConfig, context: StepContext) -> Any:
        return self.script(config, context)


class ScriptedTransactional(TransactionalStepType[AnyConfig]):
    """A step that runs inside the engine's transaction; `run` is a function of (config, context)."""

    summary = "Writes what a test says."
    Config = AnyConfig

    def __init__(self) -> None:
        self.script: Callable[[AnyConfig, StepContext], Any] = lambda config, context: Completed({"ok": True})

    def execute(self, config: AnyConfig, context: StepContext) -> Any:
        return self.script(config, context)


@contextmanager
def installed(name: str, base: type[Any] = ScriptedSlow, **attributes: Any) -> Iterator[Any]:
    """Register a scripted step type for the length of a test; yields its one instance."""
    step_type = type(f"Scripted_{name}", (base,), {"name": name, **attributes})
    step_types.register(step_type)
    try:
        yield step_types.get(name)
    finally:
        step_types.unregister(name)


def answering(slow_step: ScriptedSlow, *answers: dict[str, Any] | Exception) -> None:
    """The far side's answers, in order."""
    left = iter(answers)

    def script(request: Any, context: Any) -> dict[str, Any]:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    slow_step.script = script
