"""A run that has ended, as a test looks at it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import UUID

from executions.agents.transcript import turn_as_json, turns_of
from executions.models import Effect, Run, StepRun, TimelineEntry
from lightfield.kernel.errors import Problem


@dataclass(frozen=True)
class RunError:
    """Why a step or run failed."""

    code: str
    message: str
    retryable: bool
    metadata: dict[str, Any]


@dataclass(frozen=True)
class TurnResult:
    """One answer of an agent's model (`kind` is "model") or one tool call ("tool"), as its transcript has it."""

    number: int
    kind: str
    name: str  # of the model, or of the tool
    asked: dict[str, Any] | None  # of a call: {"id", "arguments", "request"}
    answer: Any  # of a model: {"text", "calls", "finish"}; of a call: what the model was told
    error_code: str | None  # of a call that was refused or failed
    input_tokens: int
    output_tokens: int
    cost: float | None

    @property
    def arguments(self) -> Any:
        return (self.asked or {}).get("arguments")


@dataclass(frozen=True)
class StepResult:
    """One step of the run. A step that was never reached has no result."""

    key: str
    type: str
    status: str  # completed, failed, skipped …
    attempts: int
    output: Any
    error: RunError | None
    request: dict[str, Any] | None  # of a slow step, as it was frozen and kept
    effect: str | None  # of a step with an effect: done, unknown or abandoned
    turns: list[TurnResult] = field(default_factory=list)  # of an agent

    @property
    def calls(self) -> list[TurnResult]:
        """The tool calls of an agent, in order, refused ones included."""
        return [turn for turn in self.turns if turn.kind == "tool"]


@dataclass(frozen=True)
class TimelineLine:
    type: str
    step: str | None
    attempt: int | None
    metadata: dict[str, Any]


@dataclass(frozen=True)
class FinishedRun:
    """`trace_id` is the same for the runs that this one led to, `led_to`, oldest first."""

    id: UUID
    workflow: str
    status: str
    error: RunError | None
    steps: dict[str, StepResult]
    timeline: list[TimelineLine]
    trace_id: str
    depth: int
    skipped_seconds: float = 0.0  # that sleeps and waits between attempts would have taken
    warnings: list[Problem] = field(default_factory=list)  # of publishing
    led_to: list[FinishedRun] = field(default_factory=list)

    @property
    def outputs(self) -> dict[str, Any]:
        """Of the completed steps, by key: what templates read."""
        return {key: step.output for key, step in self.steps.items() if step.status == "completed"}

    @property
    def messages(self) -> list[str]:
        """What the steps wrote to the timeline, in order."""
        return [line.metadata["message"] for line in self.timeline if line.type == "step.logged"]

    def told(self) -> list[str]:
        """The timeline in short: `step.retrying notify`."""
        return [f"{line.type} {line.step}" if line.step else line.type for line in self.timeline]


def result_of(run: Run, **more: Any) -> FinishedRun:
    """The run as its rows tell it."""
    effects = {
        effect.step_run_id: effect for effect in Effect.objects.filter(step_run__run=run).order_by("id")
    }
    steps = list(StepRun.objects.filter(run=run).order_by("position"))
    turns = _turns([step.pk for step in steps])
    return FinishedRun(
        id=run.pk,
        workflow=run.workflow.name,
        status=str(run.status),
        error=_error(run.error),
        steps={step.key: _step(step, effects.get(step.pk), turns[step.pk]) for step in steps},
        timeline=[
            TimelineLine(entry.type, entry.step_key, entry.attempt, entry.metadata)
            for entry in TimelineEntry.objects.filter(run=run).order_by("seq")
        ],
        trace_id=run.trace_id,
        depth=run.event.depth,
        **more,
    )


def _turns(step_run_ids: list[int]) -> dict[int, list[TurnResult]]:
    found: dict[int, list[TurnResult]] = defaultdict(list)
    names = [one.name for one in fields(TurnResult)]
    for row in turns_of(step_run_ids):
        shown = turn_as_json(row)
        found[row.step_run_id].append(TurnResult(**{name: shown[name] for name in names}))
    return found


def _step(step: StepRun, effect: Effect | None, turns: list[TurnResult]) -> StepResult:
    return StepResult(
        key=step.key,
        type=step.type,
        status=str(step.status),
        attempts=step.attempts,
        output=step.output,
        error=_error(step.error),
        request=effect.request if effect else None,
        effect=str(effect.status) if effect else None,
        turns=turns,
    )


def _error(stored: dict[str, Any] | None) -> RunError | None:
    if not stored:
        return None
    return RunError(stored["code"], stored["message"], stored["retryable"], stored.get("metadata", {}))
