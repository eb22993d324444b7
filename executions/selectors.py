"""Reads of runs for the API and the admin, each with all it needs in as few queries as it can."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, QuerySet, Subquery

from executions import causal_chain
from executions.agents.figures import figures_of
from executions.agents.models import AgentTurn
from executions.agents.transcript import turns_of
from executions.causal_chain import CausalChain
from executions.models import Run, StepRun, TimelineEntry
from executions.notices.models import Channel, Notice
from executions.states import RunStatus
from triggers.models import OutboxEvent

# A run's id and its created_at are taken in one statement, but not in the same microsecond.
ID_SLACK: Final = timedelta(minutes=1)
BEFORE_ALL_RUNS: Final = datetime(2000, 1, 1, tzinfo=UTC)


def runs_for_list() -> QuerySet[Run]:
    """Runs with `version_number`, `is_test` and `replayed_by`, without outputs."""
    newer = Run.objects.filter(event=OuterRef("event"), generation=OuterRef("generation") + 1)
    return Run.objects.annotate(
        version_number=F("version__number"),
        is_test=F("version__is_test"),
        replayed_by=Subquery(newer.values("pk")[:1]),
    )


def run_for_detail(run_id: UUID) -> Run:
    """One run with, besides, its cause, `payload`, `plan` and its steps in order, each with what its agent used.

    Raises Run.DoesNotExist.
    """
    found = runs_for_list().annotate(
        caused_by=F("event__caused_by"),
        depth=F("event__depth"),
        payload=F("event__payload"),
        plan=F("version__plan"),
    )
    run = found.prefetch_related("steps").get(pk=run_id)
    used = figures_of(run.steps.all())
    for step in run.steps.all():
        step.agent = used.get(step.pk)  # type: ignore[attr-defined]  # for the serializer
    is_told = run.status == RunStatus.FAILED  # nobody is told of others
    run.told_to = list(told_notices().filter(run=run)) if is_told else []  # type: ignore[attr-defined]  # for the serializer
    return run


def told_notices() -> QuerySet[Notice]:
    """Those that leave as messages, with them."""
    return Notice.objects.exclude(channel=Channel.STREAK).select_related("message").defer("message__body")


def runs_since(runs: QuerySet[Run], instant: datetime) -> QuerySet[Run]:
    """Those created at `instant` or later.

    Ids are UUIDv7, so the bound on them lets a list by id stop there instead of reading on to the first run
    ever made.
    """
    # In the year 1, neither Python nor PostgreSQL could subtract from it.
    instant = max(instant, BEFORE_ALL_RUNS)
    milliseconds = int((instant - ID_SLACK).timestamp() * 1000)
    return runs.filter(created_at__gte=instant, pk__gte=UUID(int=milliseconds << 80))


def timeline_of(run_id: UUID) -> QuerySet[TimelineEntry]:
    return TimelineEntry.objects.filter(run_id=run_id)


def turns_of_step(run_id: UUID, step_key: str) -> QuerySet[AgentTurn]:
    """In order. Raises StepRun.DoesNotExist, also for a step whose turn has not come."""
    return turns_of([StepRun.objects.only("pk").get(run_id=run_id, key=step_key).pk])


def chain_of_run(run_id: UUID) -> CausalChain:
    """Raises Run.DoesNotExist."""
    chain = causal_chain.chain_of_run(run_id)
    if not chain.path:
        raise Run.DoesNotExist(f"There is no run {run_id}.")
    return chain


def with_runs(events: QuerySet[OutboxEvent]) -> QuerySet[OutboxEvent]:
    """Events with `run_ids`, the oldest first."""
    runs = Run.objects.filter(event=OuterRef("pk")).order_by("generation")
    return events.annotate(run_ids=ArraySubquery(runs.values("pk")))


def newest_run_of(event: str) -> Subquery:
    """For rows whose column `event` names an event."""
    runs = Run.objects.filter(event=OuterRef(event)).order_by("-generation")
    return Subquery(runs.values("pk")[:1])
