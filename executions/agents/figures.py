"""What agents used: turns, tool calls, tokens, cost and time, summed over the journal, beside what they may use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from django.db.models import Count, F, Q, Sum
from django.db.models.fields.json import KT

from executions.agents.models import AgentTurn, TurnKind
from executions.models import Effect, StepRun

STEP_TYPE: Final = "ai_agent"


@dataclass(frozen=True)
class Figures:
    """Of one step, as far as it is. `seconds` are those of finished turns; `cost` is None where no price is known."""

    model: str | None = None  # as a config names it, "openai:gpt-5"; None: its request is not fixed yet
    turns: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None  # US dollars
    seconds: float = 0.0
    limits: dict[str, Any] | None = None  # {"turns", "tool_calls", "tokens", "seconds", "cost"}

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


def figures_of(steps: Iterable[StepRun]) -> dict[int, Figures]:
    """By step run id, those of agents that ran themselves. Two queries, and none when no agent is among the steps."""
    ids = [step.pk for step in steps if step.type == STEP_TYPE and not step.reused]
    if not ids:
        return {}
    found = {pk: Figures(model=model, limits=limits) for pk, model, limits in _requests(ids)}
    for row in _sums(ids):
        pk = row.pop("step_run_id")
        seconds = row.pop("took")
        used = replace(found.get(pk, Figures()), **row)
        found[pk] = replace(used, seconds=seconds.total_seconds() if seconds else 0.0)
    return {pk: found.get(pk, Figures()) for pk in ids}


def model_in(request: dict[str, Any]) -> str | None:
    """The model that a frozen request names, as a config does."""
    model = request.get("model")
    if not isinstance(model, dict) or not model.get("name"):
        return None
    return _named(model.get("provider"), model["name"])


def _named(provider: object, name: object) -> str:
    return f"{provider}:{name}" if provider else str(name)


def _requests(step_run_ids: list[int]) -> list[tuple[int, str | None, dict[str, Any] | None]]:
    """Step run id, model and limits: of a frozen request no more is read."""
    named = (KT("request__model__provider"), KT("request__model__name"))
    rows = Effect.objects.filter(step_run__in=step_run_ids).values_list(
        "step_run_id", *named, "request__limits"
    )
    return [(pk, _named(provider, name) if name else None, limits) for pk, provider, name, limits in rows]


def _sums(step_run_ids: list[int]) -> Any:
    return (
        AgentTurn.objects.filter(step_run__in=step_run_ids)
        .order_by()
        .values("step_run_id")
        .annotate(
            turns=Count("pk", filter=Q(kind=TurnKind.MODEL, finished_at__isnull=False)),
            tool_calls=Count("pk", filter=Q(kind=TurnKind.TOOL)),
            input_tokens=Sum("input_tokens"),
            output_tokens=Sum("output_tokens"),
            cost=Sum("cost"),
            took=Sum(F("finished_at") - F("started_at")),
        )
    )
