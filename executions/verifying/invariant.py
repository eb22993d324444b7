"""One invariant: a sentence about the rows, and the query that finds the rows for which it does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import TextChoices

from executions.dispatcher import MOST_TRIES
from executions.states import FINAL_RUN, FINAL_STEP, LIVE_RUN, LIVE_STEP
from executions.sweeper import margin_seconds
from lightfield.kernel.catalogue import CATALOGUE
from workflows import step_types
from workflows.step_types import TransactionalStepType

# What each type of entry tells: from which status to which, None where there is none. Waiting runs are told as
# running and queued steps as ready: admission locks no run and so tells nothing. Every change of a step goes
# through `running`, also where a fast step's row never shows it.
_ENDED_EARLY = frozenset({"ready", "running", "waiting"})
TELLS: dict[str, frozenset[tuple[str | None, str | None]]] = {
    "run.created": frozenset({(None, "pending")}),
    "run.started": frozenset({("pending", "running")}),
    "run.completed": frozenset({("running", "completed")}),
    "run.failed": frozenset({("pending", "failed"), ("running", "failed")}),
    "run.cancelled": frozenset({("pending", "cancelled"), ("running", "cancelled")}),
    "step.started": frozenset({("ready", "running"), ("waiting", "running")}),
    "step.retrying": frozenset({("running", "waiting")}),
    "step.waiting": frozenset({("running", "waiting")}),
    "step.lost": frozenset({("running", "ready")}),
    "step.logged": frozenset({(None, None)}),
    "step.completed": frozenset({("running", "completed"), ("waiting", "completed")}),
    "step.failed": frozenset((before, "failed") for before in _ENDED_EARLY),
    "step.cancelled": frozenset((before, "cancelled") for before in _ENDED_EARLY),
    "step.skipped": frozenset({(None, "skipped")}),
}
LEASE_GRACE_SECONDS = 30  # a lease that ended is found by the sweep and taken over well before this


class Subject(StrEnum):
    """What an invariant speaks of; the value is the table whose rows are counted as checked."""

    CREDENTIALS = "access_credential"
    WORKFLOWS = "workflows_workflow"
    VERSIONS = "workflows_workflowversion"
    TRIGGERS = "triggers_trigger"
    EVENTS = "triggers_outboxevent"
    DELIVERIES = "triggers_delivery"
    NOTES = "triggers_uncapturedwrite"
    TICKS = "triggers_tick"
    RUNS = "executions_run"
    STEPS = "executions_steprun"
    ATTEMPTS = "executions_attempt"
    EFFECTS = "executions_effect"
    TURNS = "executions_agentturn"
    ENTRIES = "executions_timelineentry"
    LANES = "executions_lane"
    NOTICES = "executions_notice"
    MESSAGES = "executions_noticemessage"


@dataclass(frozen=True)
class Invariant:
    """`broken` finds what contradicts the sentence: SQL with one column, or a function for what SQL cannot do.

    The column is an id that a person can look up: of an event, run, step run or effect, `<step run>#<attempt>`,
    or `<run> <step key>`; where there is no such id, words. The SQL may use the names in `parameters()`. `number` is the one in
    docs/invariants.md, empty for those that came later.
    """

    name: str
    subject: Subject
    says: str
    broken: str | Callable[[], Iterable[str]]
    number: str = ""
    only_quiesced: bool = False  # holds when nothing is in flight; under load it need not
    remedy: str = ""  # where a person has to do something, and what


def parameters() -> dict[str, Any]:
    """The values that the queries refer to by name."""
    return {
        "live_runs": _values(LIVE_RUN),
        "ended_runs": _values(FINAL_RUN),
        "live_steps": _values(LIVE_STEP),
        "ended_steps": _values(FINAL_STEP),
        "legal": legal_entries(),
        "grace": LEASE_GRACE_SECONDS,
        "margin": margin_seconds(),
        "most_tries": MOST_TRIES,
        "codes": sorted(CATALOGUE),
        "writing_types": sorted(
            one.name
            for one in step_types.all_types()
            if isinstance(one, TransactionalStepType) and one.has_effect
        ),
    }


def _values(statuses: Iterable[TextChoices]) -> list[str]:
    return sorted(status.value for status in statuses)


def legal_entries() -> list[str]:
    """`<type> <from>><to>` of everything that a timeline entry may tell."""
    return sorted(
        f"{name} {before or ''}>{after or ''}" for name, told in TELLS.items() for before, after in told
    )
