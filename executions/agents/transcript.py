"""What an agent did, as people may read it: each answer of its model and each tool call, without secrets.

The API, the admin and what tests replay all read it here. Nothing in it is markup: a model's text is text, whatever it holds.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.db.models import Case, F, Func, JSONField, QuerySet, TextField, When
from django.db.models.functions import Cast, Length

from executions.agents.figures import Figures, figures_of
from executions.agents.models import AgentTurn, TurnKind
from executions.models import Run, StepRun
from executions.redaction import shown_request, without_secrets

FORMAT: Final = 1  # of an exported transcript


class _WithoutRaw(Func):
    """The answer as the library keeps it is for the library: it never leaves the database for a reader."""

    template = "%(expressions)s - 'raw'"
    output_field = JSONField()


_TOLD: Final = Case(When(kind=TurnKind.MODEL, then=_WithoutRaw(F("answer"))), default=F("answer"))


def turns_of(step_run_ids: list[int]) -> QuerySet[AgentTurn]:
    """In order, with `told`: the answer without `raw`."""
    return AgentTurn.objects.filter(step_run__in=step_run_ids).defer("answer").annotate(told=_TOLD)


def turns_for_page(step_run_ids: list[int], *, most: int, longest: int) -> QuerySet[AgentTurn]:
    """The first `most` of each step; `told` is null, and `told_length` says why, when it has over `longest` characters."""
    length = Length(Cast(_TOLD, TextField()))
    short = AgentTurn.objects.filter(step_run__in=step_run_ids, number__lte=most).defer("answer")
    told = Case(When(told_length__lte=longest, then=_TOLD))
    return short.annotate(told_length=length).annotate(told=told)


def asked_of(turn: AgentTurn) -> dict[str, Any] | None:
    """What was asked of a tool: {"id", "arguments", "request"}, secrets replaced."""
    if not isinstance(turn.asked, dict):
        return None
    shown: dict[str, Any] = {name: without_secrets(value) for name, value in turn.asked.items()}
    if isinstance(turn.asked.get("request"), dict):
        shown["request"] = shown_request(turn.asked["request"])
    return shown


def answer_of(turn: AgentTurn) -> Any:
    """Of a model: {"text", "calls", "finish"}. Of a tool: what the model was told. Secrets replaced. For rows of `turns_of`."""
    return without_secrets(turn.told)  # type: ignore[attr-defined]  # annotated


def turn_as_json(turn: AgentTurn) -> dict[str, Any]:
    """One turn as the API gives it. For rows of `turns_of`."""
    return {
        "number": turn.number,
        "kind": turn.kind,
        "name": turn.name,
        "key": turn.key,
        "asked": asked_of(turn),
        "answer": answer_of(turn),
        "error_code": turn.error_code,
        "input_tokens": turn.input_tokens,
        "output_tokens": turn.output_tokens,
        "cost": None if turn.cost is None else float(turn.cost),
        "attempt": turn.attempt,
        "started_at": turn.started_at,
        "finished_at": turn.finished_at,
    }


def exported(run_id: UUID, step_key: str) -> dict[str, Any]:
    """All of one step's transcript, for a file that `lightfield.testing` replays.

    Raises Run.DoesNotExist, StepRun.DoesNotExist.
    """
    run = Run.objects.select_related("workflow", "version").get(pk=run_id)
    step = StepRun.objects.get(run=run, key=step_key)
    figures = figures_of([step]).get(step.pk, Figures())
    return {
        "format": FORMAT,
        "workflow": run.workflow.name,
        "version": run.version.number,
        "run": str(run.pk),
        "step": step.key,
        "status": step.status,
        "model": figures.model,
        "limits": figures.limits,
        "turns": [_written(turn_as_json(turn)) for turn in turns_of([step.pk])],
    }


def _written(turn: dict[str, Any]) -> dict[str, Any]:
    """Instants as the API writes them."""
    instants = ("started_at", "finished_at")
    return {
        name: value.isoformat().replace("+00:00", "Z") if name in instants and value else value
        for name, value in turn.items()
    }
