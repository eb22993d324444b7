"""What all processes noted becomes rows: the sweep's part of decisions.

Taken from Redis first, stored afterwards in one transaction. A collector that dies in between loses what it took,
a second or so of diagnostics; the other order would count it again. Any number of collectors may be at it: each
takes what the others left, and they store one after another, so the bounds hold whoever comes.

What lies in Redis is judged like anything from outside: only whole, well-formed notes and counters of triggers
that exist are stored, and nothing there can keep the rest from being stored.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import redis
from django.db import DatabaseError, InterfaceError, OperationalError, transaction

from lightfield.kernel import ids, sql, strict_json
from lightfield.kernel.errors import RequestRefused
from triggers.decisions import shelf
from triggers.decisions.verdicts import NOTED, Verdict
from triggers.models import Decision, Trigger

logger = logging.getLogger(__name__)

MOST_OF_A_TRIGGER: Final = 1_000  # decisions kept
MOST_COUNT: Final = 10**9  # of one counter in one collection: more was forged
MOST_BYTES: Final = 8_192  # of one note
MOST_AGE: Final = float(shelf.KEPT_SECONDS)

# One collector at a time, so that each trims what the others stored. The number names nothing else.
TURN: Final = "SELECT statement_timestamp() FROM (SELECT pg_advisory_xact_lock(6841973305)) turn"

COUNT: Final = """
INSERT INTO triggers_decisioncount AS held (trigger_id, verdict, count, last_at)
SELECT g.trigger_id, g.verdict, g.count, statement_timestamp()
FROM unnest(%(triggers)s::bigint[], %(verdicts)s::varchar[], %(counts)s::bigint[]) AS g(trigger_id, verdict, count)
ON CONFLICT (trigger_id, verdict) DO UPDATE SET count = held.count + EXCLUDED.count, last_at = EXCLUDED.last_at
"""

TRIM: Final = """
DELETE FROM triggers_decision d USING unnest(%(triggers)s::bigint[]) AS g(trigger_id)
WHERE d.trigger_id = g.trigger_id AND d.id < (
  SELECT n.id FROM triggers_decision n WHERE n.trigger_id = g.trigger_id ORDER BY n.id DESC
  OFFSET %(most)s::int - 1 LIMIT 1)
"""

Counts = dict[tuple[int, Verdict], int]


@dataclass(frozen=True)
class Noted:
    """A note that passed every check."""

    trigger_id: int
    verdict: Verdict
    subject: str
    detail: dict[str, Any]
    count: int
    age: float  # seconds


def collect() -> int:
    """Store what was noted since the last collection; how many decisions that is. One look at Redis if it is nothing.

    Raises django.db.OperationalError, InterfaceError: the database is away; what was taken is lost.
    """
    try:
        taken = shelf.take()
    except redis.RedisError as error:
        shelf.hang_up()
        logger.info("decisions_not_collected", extra={"error": str(error)})
        return 0
    counts = _counts_in(taken.counts)
    notes = [note for raw in taken.notes if (note := _note_in(raw, taken.now))]
    if not counts:
        return 0  # notes without a counter were put there by nobody of ours
    try:
        return _store(counts, notes)
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError:
        logger.exception("decisions_not_stored", extra={"count": sum(counts.values())})
        return 0


@transaction.atomic
def _store(counts: Counts, notes: list[Noted]) -> int:
    found = sql.row(TURN, {})
    assert found is not None
    now: datetime = found[0]
    named = {trigger_id for trigger_id, _ in counts}
    known = set(Trigger.objects.filter(pk__in=named).values_list("pk", flat=True))
    counted = {key: count for key, count in counts.items() if key[0] in known}
    if not counted:
        return 0
    columns = {
        "triggers": [trigger_id for trigger_id, _ in counted],
        "verdicts": [str(verdict) for _, verdict in counted],
        "counts": list(counted.values()),
    }
    sql.rows(COUNT, columns)
    rows = [_row(note, now) for note in notes if note.trigger_id in known]
    Decision.objects.bulk_create(rows)
    sql.rows(TRIM, {"triggers": sorted({row.trigger_id for row in rows}), "most": MOST_OF_A_TRIGGER})
    return sum(counted.values())


def _row(note: Noted, now: datetime) -> Decision:
    at = now - timedelta(seconds=note.age)
    return Decision(
        id=ids.uuid7(at),
        trigger_id=note.trigger_id,
        at=at,
        verdict=note.verdict,
        subject=note.subject,
        detail=note.detail,
        count=note.count,
    )


def _counts_in(raw: Iterable[tuple[bytes, bytes]]) -> Counts:
    counts: Counts = defaultdict(int)
    for name, text in raw:
        trigger, _, word = name.partition(b":")
        trigger_id, count = _number(trigger, most=2**63 - 1), _number(text, most=MOST_COUNT)
        verdict = _verdict(word.decode(errors="replace"))
        if trigger_id and count and verdict:
            counts[trigger_id, verdict] += count
    return counts


def _note_in(raw: tuple[bytes, bytes], now: float) -> Noted | None:
    """The note, or None if it is not one of ours."""
    trigger_id = _number(raw[0], most=2**63 - 1)
    placed, _, rest = raw[1].partition(b" ")
    age_then, _, body = rest.partition(b" ")
    try:
        age = now - float(placed) + float(age_then)
        content = strict_json.parse(body, max_bytes=MOST_BYTES)
    except (ValueError, RequestRefused):
        return None
    if not trigger_id or not math.isfinite(age) or not isinstance(content, dict):
        return None
    verdict, subject = _verdict(content.get("verdict")), content.get("subject")
    detail, count = content.get("detail"), content.get("count")
    if verdict is None or not isinstance(subject, str) or not isinstance(detail, dict):
        return None
    if len(subject) > shelf.MOST_SUBJECT or type(count) is not int or not 0 < count <= MOST_COUNT:
        return None
    return Noted(trigger_id, verdict, subject, detail, count, min(max(age, 0.0), MOST_AGE))


def _number(text: bytes, *, most: int) -> int | None:
    """A whole number from 1 to `most`, or None."""
    if not text.isdigit() or len(text) > 19:
        return None
    number = int(text)
    return number if 0 < number <= most else None


def _verdict(word: object) -> Verdict | None:
    return Verdict(word) if isinstance(word, str) and word in NOTED else None
