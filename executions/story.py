"""A run as people read it: what it did, step by step and try by try, and why it stands where it stands.

Six queries, however long the run: run, steps, attempts, effects, timeline, chain; one for notices when it failed, and three
for transcripts when it has agents.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from executions.agents.story import Transcript, transcripts_of
from executions.causal_chain import CausalChain, chain_of_run
from executions.models import Attempt, Effect, Run, StepRun, TimelineEntry
from executions.notices.models import Notice
from executions.redaction import shown_request
from executions.selectors import told_notices
from executions.sentences import Sentence, sentence_of, standing_of
from executions.states import LIVE_RUN, AttemptOutcome, RunStatus, StepStatus
from lightfield.kernel.catalogue import CATALOGUE, Entry

MOST_ENTRIES: Final = 500  # of the timeline in one page; the API pages through all of them


@dataclass(frozen=True)
class Failure:
    """An error with what the catalogue says about its code."""

    code: str
    message: str
    retryable: bool
    metadata: dict[str, Any]

    @property
    def entry(self) -> Entry | None:
        return CATALOGUE.get(self.code)


@dataclass(frozen=True)
class Try:
    """One attempt, with how long it took."""

    row: Attempt
    seconds: float | None
    failure: Failure | None


@dataclass(frozen=True)
class Chapter:
    """One step of the plan. `row` is None while its turn has not come."""

    position: int
    key: str
    type: str
    name: str
    row: StepRun | None
    standing: str  # why it is where it is, in a sentence; empty when the status says all
    tries: list[Try]
    effect: Effect | None
    request: dict[str, Any] | None
    output: dict[str, Any] | None
    failure: Failure | None
    agent: Transcript | None = None  # of an agent step that ran here

    @property
    def is_unsent(self) -> bool:
        """Whether its request is written down and nothing was sent yet: every attempt was put back."""
        return bool(self.tries) and all(one.row.outcome == AttemptOutcome.HELD for one in self.tries)

    @property
    def seconds(self) -> float | None:
        """How long it took; None for what never ran here, and for what took no time to speak of."""
        if self.row is None or self.row.reused:
            return None
        return _seconds(self.row.started_at, self.row.finished_at) or None


@dataclass(frozen=True)
class Line:
    """One timeline entry, with the seconds since the first one."""

    row: TimelineEntry
    offset: float
    sentence: Sentence


@dataclass(frozen=True)
class AgentsUsed:
    count: int
    tokens: int
    cost: Decimal | int | None  # US dollars; None: no price is known


@dataclass(frozen=True)
class Story:
    run: Run
    chapters: list[Chapter]
    lines: list[Line]
    more_lines: int
    failure: Failure | None
    replayed_by: UUID | None
    seconds: float | None
    chain: CausalChain
    notices: list[Notice]

    @property
    def is_live(self) -> bool:
        return self.run.status in LIVE_RUN

    @property
    def failed_chapter(self) -> Chapter | None:
        return next((chapter for chapter in self.chapters if chapter.failure), None)

    @property
    def agents(self) -> AgentsUsed | None:
        """What all its agents used; None when it has none."""
        used = [chapter.agent.figures for chapter in self.chapters if chapter.agent]
        if not used:
            return None
        costs = [one.cost for one in used if one.cost is not None]
        return AgentsUsed(len(used), sum(one.tokens for one in used), sum(costs) if costs else None)

    @property
    def can_be_replayed(self) -> bool:
        return self.run.status in (RunStatus.FAILED, RunStatus.CANCELLED) and self.replayed_by is None


def told(run_id: UUID) -> Story:
    """Raises Run.DoesNotExist."""
    run = _run(run_id)
    lines = list(TimelineEntry.objects.filter(run=run)[:MOST_ENTRIES])
    start = lines[0].at if lines else run.created_at
    return Story(
        run=run,
        chapters=_chapters(run),
        lines=[Line(row, (row.at - start).total_seconds(), sentence_of(row)) for row in lines],
        more_lines=max(0, run.seq - len(lines)),
        failure=_failure(run.error),
        replayed_by=run.replayed_by,  # type: ignore[attr-defined]  # annotated in _run
        seconds=_seconds(run.started_at or run.created_at, run.finished_at),
        chain=chain_of_run(run_id),
        notices=list(told_notices().filter(run=run)) if run.status == RunStatus.FAILED else [],
    )


def _run(run_id: UUID) -> Run:
    newer = Run.objects.filter(event=OuterRef("event"), generation=OuterRef("generation") + 1)
    return (
        Run.objects.select_related("workflow__active_version", "version", "event")
        .defer("workflow__draft", "workflow__active_version__definition", "event__body_digest")
        .annotate(replayed_by=Subquery(newer.values("pk")[:1]))
        .get(pk=run_id)
    )


def _chapters(run: Run) -> list[Chapter]:
    """Every step of the version's plan, those whose turn has not come included."""
    rows = {row.position: row for row in StepRun.objects.filter(run=run)}
    tries: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in Attempt.objects.filter(step_run__run=run):
        tries[attempt.step_run_id].append(attempt)
    effects = {
        effect.step_run_id: effect for effect in Effect.objects.filter(step_run__run=run).order_by("id")
    }
    requests = {pk: shown_request(effect.request) for pk, effect in effects.items()}
    agents = transcripts_of(rows.values(), requests)
    names = [step.get("name", "") for step in run.version.definition.get("steps", [])]
    chapters = []
    for position, planned in enumerate(run.version.plan, start=1):
        row = rows.get(position)
        effect = effects.get(row.pk) if row else None
        chapters.append(
            Chapter(
                position=position,
                key=planned["key"],
                type=planned["type"],
                name=names[position - 1] if position <= len(names) else "",
                row=row,
                standing=standing_of(run, row, own_limit=_limit_reached(run, row)),
                tries=[_try(attempt) for attempt in tries[row.pk]] if row else [],
                effect=effect,
                request=requests.get(row.pk) if row else None,
                output=_short_first(row.output) if row else None,
                failure=_failure(row.error) if row and row.status == StepStatus.FAILED else None,
                agent=agents.get(row.pk) if row else None,
            )
        )
    return chapters


def _limit_reached(run: Run, step: StepRun | None) -> int | None:
    """What keeps a ready slow step back, if it is its own workflow: the active version's concurrency."""
    active = run.workflow.active_version
    if step is None or step.status != StepStatus.READY or active is None or active.concurrency is None:
        return None
    slow = StepRun.objects.filter(workflow=run.workflow_id, lane__in=("http", "ai"))
    busy = slow.filter(status__in=(StepStatus.QUEUED, StepStatus.RUNNING)).count()
    return active.concurrency if busy >= active.concurrency else None


def _short_first(output: dict[str, Any] | None) -> dict[str, Any] | None:
    """Single values before lists and objects: the status code is found without scrolling past the headers."""
    if output is None:
        return None
    return dict(sorted(output.items(), key=lambda item: isinstance(item[1], dict | list)))


def _try(attempt: Attempt) -> Try:
    failure = _failure(attempt.error)
    return Try(attempt, _seconds(attempt.started_at, attempt.finished_at), failure)


def _failure(error: dict[str, Any] | None) -> Failure | None:
    if not error:
        return None
    return Failure(
        code=str(error.get("code", "")),
        message=str(error.get("message", "")),
        retryable=bool(error.get("retryable")),
        metadata=error.get("metadata") or {},
    )


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Up to now for what goes on."""
    if start is None:
        return None
    return ((end or timezone.now()) - start).total_seconds()
