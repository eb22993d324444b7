"""docs/states.md, drawn from the enums and transition tables in the code: a status, who moves it on, and where to."""

from __future__ import annotations

import inspect
import io
import tokenize
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.db.models import TextChoices

from executions.states import (
    RUN_BEGINS,
    RUN_TRANSITIONS,
    STEP_BEGINS,
    STEP_TRANSITIONS,
    AttemptOutcome,
    EffectStatus,
    RunStatus,
    StepStatus,
)
from triggers.models import EventStatus

S = TypeVar("S", bound=TextChoices)

EVENT_TRANSITIONS = {
    EventStatus.PENDING: frozenset({EventStatus.DISPATCHED, EventStatus.IGNORED, EventStatus.POISON}),
    EventStatus.POISON: frozenset({EventStatus.PENDING}),
}
EFFECT_TRANSITIONS = {EffectStatus.INTENT: frozenset(EffectStatus) - {EffectStatus.INTENT}}

HEAD = """\
# Statuses

Drawn by `bin/manage draw_states` from `executions/states.py` and the models: change those, not this page. A test fails when
the two differ. Final statuses of runs, steps, attempts and effects are kept final by database triggers as well
(`executions/migrations/0002_guards.py`), and `bin/manage verify` checks every timeline against what may follow what
([invariants](invariants.md)).
"""

TOLD_OTHERWISE = """\
The timeline tells three things more coarsely, or more finely, than the rows go. Admission queues a step without locking its
run, so a `queued` step is told as `ready` (or `waiting`) until a worker claims it, and a `waiting` run as `running`. A fast step
is told as `running`, although its row passes from `ready` to the end in one statement. A step whose worker was lost is told
as `ready` and started again, although its row passes from one lease to the next.

What ends a run from outside ends its live step with it: a cancel as `cancelled`, and the run's own time being up (`run.timeout`) as `failed`, for
nobody wanted that. Either may find the step in any live status; an attempt that is open is closed as `unknown` if its intent was
committed and as `cancelled` if not. The effect of a step under a live lease is left open ([failures.md](failures.md#timeout_seconds-the-whole-run)).
"""


def page() -> str:
    """The whole page."""
    parts = [
        HEAD,
        _chapter("Event", EventStatus, EVENT_TRANSITIONS, {EventStatus.PENDING}),
        _chapter("Run", RunStatus, RUN_TRANSITIONS, RUN_BEGINS),
        _chapter("Step run", StepStatus, STEP_TRANSITIONS, STEP_BEGINS),
        TOLD_OTHERWISE,
        _chapter("Effect", EffectStatus, EFFECT_TRANSITIONS, {EffectStatus.INTENT}),
        _outcomes(),
    ]
    return "\n".join(parts)


def page_path() -> Path:
    return Path(settings.BASE_DIR) / "docs" / "states.md"


def _chapter(
    title: str, statuses: type[S], transitions: Mapping[S, Collection[S]], begins: Collection[S]
) -> str:
    lines = [f"## {title}", "", "```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {status.value}" for status in statuses if status in begins]
    lines += [
        f"    {before.value} --> {after.value}"
        for before in statuses
        for after in statuses
        if after in transitions.get(before, ())
    ]
    lines += [f"    {status.value} --> [*]" for status in statuses if not transitions.get(status)]
    lines += ["```", "", "| status | what it is, who moves it on | may become |", "|---|---|---|"]
    told = comments_of(statuses)
    for status in statuses:
        following = [f"`{after.value}`" for after in statuses if after in transitions.get(status, ())]
        lines.append(f"| `{status.value}` | {told[status.name]} | {', '.join(following) or '–'} |")
    return "\n".join([*lines, ""])


def _outcomes() -> str:
    told = comments_of(AttemptOutcome)
    lines = ["## Attempt", "", "Open, then closed once with one of these outcomes.", ""]
    lines += ["| outcome | what it is |", "|---|---|"]
    lines += [f"| `{outcome.value}` | {told[outcome.name]} |" for outcome in AttemptOutcome]
    return "\n".join([*lines, ""])


def comments_of(statuses: type[TextChoices]) -> dict[str, str]:
    """The comment behind each member of an enum, by the member's name; its label where there is none."""
    found = {member.name: str(member.label) for member in statuses}
    name = ""
    is_start = True  # of a logical line
    for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(statuses)).readline):
        if token.type == tokenize.NAME and is_start:
            name = token.string
        if token.type == tokenize.COMMENT and name in found:
            found[name] = token.string.lstrip("# ").strip()
        if token.type not in (tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.COMMENT):
            is_start = token.type == tokenize.NEWLINE
    return found
