"""Timeline entries and standing steps in plain words. Pure, but for the clock that says how long until due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from executions.egress.breaker import CIRCUIT_OPEN, RETRY_BUDGET
from executions.models import Run, StepRun, TimelineEntry
from executions.states import RunStatus, StepStatus
from lightfield.kernel import plain_words

Metadata = dict[str, Any]
REFUSED: Final = "ai.permission_denied"


@dataclass(frozen=True)
class Sentence:
    """One line of the timeline."""

    text: str
    symbol: str  # a Material symbol
    tone: str  # good, bad, busy, wait or none
    quote: str = ""  # a message that an author or a far side wrote
    code: str = ""  # of the error catalogue
    facts: tuple[tuple[str, str], ...] = ()  # what else the entry tells


# (symbol, tone, words). Words get the step's key, the attempt and the metadata.
_Words: TypeAlias = tuple[str, str, Callable[[str, int | None, Metadata], str]]
_WORDS: Final[dict[str, _Words]] = {
    "run.created": ("add_circle", "none", lambda _s, _a, m: _created(m)),
    "run.started": ("play_arrow", "none", lambda _s, _a, _m: "Run started"),
    "run.completed": ("check_circle", "good", lambda _s, _a, _m: "Run completed"),
    "run.failed": ("cancel", "bad", lambda _s, _a, m: _failed(m)),
    "run.cancelled": ("block", "wait", lambda _s, _a, m: f"Run cancelled by {m.get('by') or 'a person'}"),
    "step.started": ("arrow_forward", "busy", lambda s, a, _m: f"{s} started{_attempt(a)}"),
    "step.retrying": ("replay", "wait", lambda s, a, m: f"{s}{_attempt(a)} failed, {_again(m)}"),
    "step.lost": ("heart_broken", "bad", lambda s, a, m: f"{s}{_attempt(a)} lost its worker{_sent(m)}"),
    "step.completed": ("check", "good", lambda s, _a, _m: f"{s} completed"),
    "step.failed": ("close", "bad", lambda s, _a, _m: f"{s} failed"),
    "step.skipped": ("redo", "none", lambda s, _a, _m: f"{s} skipped"),
    "step.cancelled": ("block", "wait", lambda s, _a, _m: f"{s} cancelled"),
    "step.waiting": ("bedtime", "wait", lambda s, _a, m: _waits(s, m)),
    "step.logged": ("chat_bubble", "none", lambda s, _a, _m: f"{s} logged"),
}
# What an agent was not permitted is logged like a message, and is no message.
_REFUSAL: Final[_Words] = ("block", "bad", lambda s, _a, m: _refused(s, m))
# Said by the words or the message already, or by the columns beside them.
_SAID: Final = frozenset(
    "attempt by circuit delay_seconds due_at error_code event_id failed_step may_have_sent message replay_of seconds status_code tool url_host".split()  # noqa: SIM905  a list of words reads best as words
)


def sentence_of(entry: TimelineEntry) -> Sentence:
    metadata: Metadata = entry.metadata or {}
    found = _REFUSAL if _is_refusal(entry.type, metadata) else _WORDS.get(entry.type)
    symbol, tone, words = found or ("circle", "none", lambda _s, _a, _m: entry.type)
    facts = tuple((name, _text(value)) for name, value in metadata.items() if name not in _SAID)
    return Sentence(
        text=words(entry.step_key or "", entry.attempt, metadata),
        symbol=symbol,
        tone=tone,
        quote=_text(metadata.get("message", "")),
        code=str(metadata.get("error_code") or ""),
        facts=facts,
    )


def standing_of(run: Run, step: StepRun | None, *, own_limit: int | None = None) -> str:
    """Why this step is where it is; empty when its status says all there is to say.

    `own_limit`: its workflow's concurrency, if as many of its slow steps are in flight.
    """
    if step is None:
        return "Its turn has not come."
    if step.reused:
        return "Taken over from the run that this one replays."
    if step.status == StepStatus.READY:
        return "About to run." if step.lane == "fast" else _ready(step, own_limit)
    if step.status == StepStatus.QUEUED:
        return f"Admitted to the {step.lane} lane; its message is on the way to a worker."
    if step.status == StepStatus.RUNNING:
        return _running(step)
    if step.status == StepStatus.WAITING:
        return _waiting(step)
    if step.status == StepStatus.SKIPPED:
        return _skipped(run)
    return ""


def _ready(step: StepRun, own_limit: int | None) -> str:
    if own_limit is not None:
        return f"Waits for others of its workflow: its concurrency is {own_limit}, and as many slow steps are in flight."
    return f"Waits for a place in the {step.lane} lane."


def _running(step: StepRun) -> str:
    where = f"Running on {step.owner.partition('#')[0]}" if step.owner else "Running"
    if step.lease_expires_at is None:
        return f"{where}."
    left = (step.lease_expires_at - timezone.now()).total_seconds()
    if left < 0:
        return f"{where}, whose lease is over: the sweep gives the step to another worker."
    return f"{where}, under a lease for another {plain_words.length(left)}."


def _waiting(step: StepRun) -> str:
    when = plain_words.ago(step.due_at, timezone.now())
    due = "now" if "ago" in when else when
    if step.held_host:
        return f"Held back: {step.held_host} fails for many runs. It goes out when the host answers again, or fails {due}."
    if step.error_code == RETRY_BUDGET:
        return f"Waits for its turn among the retries to its host: {due}."
    return f"Tries again {due}." if step.error else f"Wakes {due}."


def _skipped(run: Run) -> str:
    if run.status == RunStatus.COMPLETED:
        return "Skipped: the condition before it did not hold."
    if run.status == RunStatus.CANCELLED:
        return "Skipped: the run was cancelled before its turn came."
    return "Skipped: a step before it failed."


def _created(metadata: Metadata) -> str:
    return (
        "Run created to replay an earlier one" if metadata.get("replay_of") else "Run created from its event"
    )


def _failed(metadata: Metadata) -> str:
    step = metadata.get("failed_step")
    return f"Run failed at {step}" if step else "Run failed"


def _is_refusal(kind: str, metadata: Metadata) -> bool:
    return kind == "step.logged" and metadata.get("error_code") == REFUSED


def _refused(step: str, metadata: Metadata) -> str:
    tool = metadata.get("tool")
    return f"{step} was refused the tool {str(tool)[:80]}" if tool else f"{step} was refused what it tried"


def _sent(metadata: Metadata) -> str:
    return (
        ", which may have sent its request" if metadata.get("may_have_sent") else " before it sent anything"
    )


def _attempt(number: int | None) -> str:
    return f", attempt {number}" if number else ""


def _again(metadata: Metadata) -> str:
    return f"again after {_length(metadata.get('delay_seconds'))}"


def _waits(step: str, metadata: Metadata) -> str:
    """A sleep that its author wanted, or a request that was put back for its host's sake."""
    host = metadata.get("url_host") or "its host"
    if metadata.get("error_code") == CIRCUIT_OPEN:
        return f"{step} waits until {host} answers again"
    if metadata.get("error_code") == RETRY_BUDGET:
        return f"{step} waits {_length(metadata.get('seconds'))} for its turn among the retries to {host}"
    return f"{step} sleeps for {_length(metadata.get('seconds'))}"


def _length(seconds: object) -> str:
    return plain_words.length(seconds) if isinstance(seconds, int | float) else "a while"


def _text(value: Any) -> str:
    """Instants to the second; everything else as people read it."""
    if not isinstance(value, str):
        return plain_words.fact(value)
    try:
        instant = parse_datetime(value) if value.endswith("Z") else None
    except ValueError:  # the form of an instant, and no such day
        return value
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC" if instant else value
