"""The page "Why did it (not) fire?" of a workflow: counts on top, then a sentence for each decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import HttpRequest

from executions import decision_list
from executions.decision_list import Entry, Tally
from executions.decision_sentences import sentence_of
from executions.sentences import Sentence
from lightfield.access.pagination import merged
from lightfield.builder.deeds import ADDRESS, DELIVERIES, RUNS
from triggers.decisions.verdicts import Verdict
from workflows.models import Workflow

SHOWN: Final = 50


@dataclass(frozen=True)
class Tab:
    """One verdict to look at alone."""

    label: str
    query: str
    is_chosen: bool


@dataclass(frozen=True)
class Line:
    entry: Entry
    sentence: Sentence


def context_of(request: HttpRequest, workflow: Workflow) -> dict[str, Any]:
    """For the template, in six queries. Raises BadRequest for a verdict or place that cannot be."""
    verdict, before = _asked(request)
    trigger = workflow.trigger
    rows = merged(
        decision_list.lists_of(trigger, verdict), by="id", beyond=before, is_downward=True, count=SHOWN + 1
    )
    entries = decision_list.entries_of(rows[:SHOWN], may_see_checks=request.user.has_perm(ADDRESS))
    older = _query(verdict, before=entries[-1].id) if len(rows) > SHOWN else ""
    return {
        "workflow": workflow,
        "tabs": list(_tabs(decision_list.tallies_of(trigger), verdict)),
        "lines": [Line(entry, sentence_of(entry)) for entry in entries],
        "verdict": verdict,
        "older": older,
        "newest": _query(verdict) if before else "",
        "may_see_runs": request.user.has_perm(RUNS),
        "may_see_deliveries": request.user.has_perm(DELIVERIES),
    }


def _asked(request: HttpRequest) -> tuple[Verdict | None, UUID | None]:
    word, before = request.GET.get("verdict"), request.GET.get("before")
    try:
        return (Verdict(word) if word else None), (UUID(before) if before else None)
    except ValueError:
        raise BadRequest("There is no such verdict or place.") from None


def _tabs(tallies: list[Tally], chosen: Verdict | None) -> list[Tab]:
    """All, then each verdict that ever fell; the chosen one also if it never did."""
    tabs = [Tab("All", _query(None), chosen is None)]
    for tally in tallies:
        mark = "" if tally.is_complete else "+"
        label = f"{tally.verdict.label} {tally.count:,}{mark}"
        tabs.append(Tab(label, _query(tally.verdict), tally.verdict == chosen))
    if chosen and chosen not in {tally.verdict for tally in tallies}:
        tabs.append(Tab(f"{chosen.label} 0", _query(chosen), is_chosen=True))
    return tabs


def _query(verdict: Verdict | None, *, before: UUID | None = None) -> str:
    asked = {"verdict": verdict, "before": before}
    return f"?{urlencode({name: str(value) for name, value in asked.items() if value})}"
