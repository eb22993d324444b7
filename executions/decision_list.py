"""Why did it (not) fire? A trigger's events and its noted decisions as one list. Lives here because it leads to runs.

Both are rows with a UUIDv7 of when it was, so one id orders them all and a cursor is one id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Case, Q, QuerySet, TextField, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Concat

from executions.models import Run
from lightfield.kernel import sql
from lightfield.kernel.catalogue import CATALOGUE
from triggers.decisions.verdicts import CODES, VERDICTS, Verdict
from triggers.deliveries.models import Delivery, DeliveryVerdict
from triggers.models import Decision, DecisionCount, EventStatus, OutboxEvent, Trigger

COUNTED: Final = 10_000  # events of a trigger, the newest: beyond them a summary says "at least"
TOLD_BY_EVENTS: Final = frozenset(
    {
        Verdict.FIRED,
        Verdict.POISON,
        Verdict.IGNORED,
        Verdict.ARCHIVED,
        Verdict.OWN_CHANGE,
        Verdict.TOO_DEEP,
    }
)

CHECKS: Final = frozenset({"check"})  # in a decision's detail: for those who may change the address

TOLD: Final = """
SELECT status, error_code, count(*), max(captured_at) FROM (
  SELECT status, error_code, captured_at FROM triggers_outboxevent
  WHERE workflow_id = %(workflow_id)s::uuid ORDER BY id DESC LIMIT %(most)s::int) newest
GROUP BY status, error_code
"""


@dataclass(frozen=True)
class Entry:
    """One line of the list, whichever table it stands in."""

    at: datetime
    verdict: Verdict
    source: str  # webhook, manual, record or schedule; empty if it is not known
    subject: str
    detail: dict[str, Any]
    event_id: UUID | None
    code: str | None
    count: int
    id: UUID
    run_id: UUID | None = None  # the newest of the event
    delivery_id: UUID | None = None  # while the inbox has it


@dataclass(frozen=True)
class Tally:
    """How often a verdict fell. `is_complete`: False where only the newest events were counted."""

    verdict: Verdict
    count: int
    is_complete: bool
    last_at: datetime


def lists_of(trigger: Trigger, verdict: Verdict | None = None) -> list[QuerySet[Any]]:
    """Events and decisions of this trigger, to be read as one list by id; `entries_of` tells what the rows say."""
    return [_events(trigger, verdict), _decisions(trigger, verdict)]


def entries_of(rows: Iterable[OutboxEvent | Decision], *, may_see_checks: bool = False) -> list[Entry]:
    """In the same order, each with the newest run of its event and its delivery: two queries.

    Args:
        may_see_checks: also which check a bad signature failed, which would help to forge a better one.
    """
    entries = [_of_decision(row) if isinstance(row, Decision) else _of_event(row) for row in rows]
    event_ids = {entry.event_id for entry in entries if entry.event_id}
    runs = Run.objects.filter(event__in=event_ids).order_by("generation").values_list("event_id", "pk")
    newest = dict(runs)
    hidden = frozenset() if may_see_checks else CHECKS
    delivered = _deliveries_of(entries)
    return [
        replace(
            entry,
            run_id=newest.get(entry.event_id) if entry.event_id else None,
            detail={name: value for name, value in entry.detail.items() if name not in hidden},
            delivery_id=delivered.get(entry.delivery_id or entry.id),
        )
        for entry in entries
    ]


def _deliveries_of(entries: list[Entry]) -> dict[UUID, UUID]:
    """By the delivery itself where it was noted, else by the event that it became. Pruned ones are not named."""
    noted = [entry.delivery_id for entry in entries if entry.delivery_id]
    became = [entry.id for entry in entries if entry.event_id == entry.id]
    found = Delivery.objects.filter(
        Q(pk__in=noted) | Q(event_id__in=became, verdict=DeliveryVerdict.ACCEPTED)
    )
    delivered: dict[UUID, UUID] = {}
    for delivery_id, event_id in found.order_by().values_list("pk", "event_id"):
        delivered[delivery_id] = delivery_id
        if event_id in became:
            delivered.setdefault(event_id, delivery_id)
    return delivered


def tallies_of(trigger: Trigger) -> list[Tally]:
    """One for each verdict that ever fell, the most frequent first: two queries."""
    tallies: dict[Verdict, Tally] = {}
    told = sql.rows(TOLD, {"workflow_id": trigger.workflow_id, "most": COUNTED})
    is_cut = sum(count for _, _, count, _ in told) >= COUNTED
    noted = DecisionCount.objects.filter(trigger=trigger).values_list("verdict", "count", "last_at")
    for verdict, count, at in [
        *((verdict_of(status, code), count, at) for status, code, count, at in told),
        *((Verdict(word), count, at) for word, count, at in noted),
    ]:
        before = tallies.get(verdict)
        tallies[verdict] = Tally(
            verdict,
            count + (before.count if before else 0),
            is_complete=not (is_cut and verdict in TOLD_BY_EVENTS),
            last_at=max(at, before.last_at) if before else at,
        )
    return sorted(tallies.values(), key=lambda tally: -tally.count)


def verdict_of(status: str, code: str | None) -> Verdict:
    """What an event tells."""
    if status == EventStatus.POISON:
        return Verdict.POISON
    if status == EventStatus.IGNORED:
        return VERDICTS.get(code or "", Verdict.IGNORED)
    return Verdict.FIRED


def _events(trigger: Trigger, verdict: Verdict | None) -> QuerySet[OutboxEvent]:
    # Which record: only of events that have one, since it means to read the payload.
    text = TextField()
    subject = Case(
        When(
            source="record",
            then=Concat(KT("payload__type"), Value(" "), KT("payload__id"), output_field=text),
        ),
        default=Value(""),
        output_field=text,
    )
    rows = _events_of(trigger).only("status", "source", "error_code", "captured_at", "idempotency_key")
    rows = rows.annotate(subject=subject)
    if verdict is None:
        return rows
    # Or all events there are would be read to find that none says so.
    if verdict not in TOLD_BY_EVENTS | CODES.keys():
        return rows.none()
    return rows.filter(_told(verdict))


def _events_of(trigger: Trigger) -> QuerySet[OutboxEvent]:
    return OutboxEvent.objects.filter(workflow_id=trigger.workflow_id)  # has one trigger, and the index


def _told(verdict: Verdict) -> Q:
    """Which events tell this verdict: the reverse of `verdict_of`."""
    if verdict is Verdict.FIRED:
        return Q(status__in=[EventStatus.PENDING, EventStatus.DISPATCHED])
    if verdict is Verdict.POISON:
        return Q(status=EventStatus.POISON)
    if verdict is Verdict.IGNORED:
        return Q(status=EventStatus.IGNORED) & ~Q(error_code__in=list(VERDICTS))
    return Q(status=EventStatus.IGNORED, error_code=CODES.get(verdict, ""))


def _decisions(trigger: Trigger, verdict: Verdict | None) -> QuerySet[Decision]:
    rows = Decision.objects.filter(trigger=trigger)
    return rows if verdict is None else rows.filter(verdict=verdict)


def _of_event(event: OutboxEvent) -> Entry:
    return Entry(
        id=event.pk,
        at=event.captured_at,
        verdict=verdict_of(event.status, event.error_code),
        source=event.source,
        subject=event.subject or "",  # type: ignore[attr-defined]  # annotated
        detail={},
        event_id=event.pk,
        code=event.error_code,
        count=1,
    )


def _of_decision(decision: Decision) -> Entry:
    detail = dict(decision.detail)
    source, event_id = detail.pop("source", ""), detail.pop("event_id", None)
    delivery_id, code = detail.pop("delivery_id", None), detail.pop("code", None)
    verdict = Verdict(decision.verdict)
    return Entry(
        id=decision.pk,
        at=decision.at,
        verdict=verdict,
        source=source if isinstance(source, str) else "",
        subject=decision.subject,
        detail=detail,
        event_id=_uuid(event_id),
        code=CODES.get(verdict) or (code if code in CATALOGUE else None),
        count=decision.count,
        delivery_id=_uuid(delivery_id),
    )


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
