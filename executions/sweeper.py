"""The sweeper rings every bell again from the rows. It never does the work itself: there is one door in.

A message may be lost at any moment; what the rows say is due is found here within a sweep. Bells for steps
that nobody answers are rung at growing distances, so a lane that is down does not fill Redis.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction

from executions import admission
from executions.notices import outgoing
from lightfield.kernel import bells, sql
from lightfield.kernel.crashpoint import crashpoint
from triggers.schedules import zones

AT_ONCE = 500  # rows of one kind in one sweep
CAREFUL_RINGS = 3  # a fast step that was rung this often and never moved may be killing its worker

SHARDS = """
WITH RECURSIVE s(n) AS (
  (SELECT shard FROM triggers_outboxevent WHERE status = 'pending' ORDER BY shard LIMIT 1)
  UNION ALL
  SELECT (SELECT e.shard FROM triggers_outboxevent e WHERE e.status = 'pending' AND e.shard > s.n ORDER BY 1 LIMIT 1)
  FROM s WHERE s.n IS NOT NULL)
SELECT n FROM s WHERE n IS NOT NULL AND EXISTS (
  SELECT 1 FROM triggers_outboxevent e WHERE e.shard = s.n AND e.status = 'pending'
    AND e.captured_at < statement_timestamp() - interval '1 second')
"""

# Lanes with steps to admit and room in the window.
LANES = """
SELECT l.name FROM executions_lane l
WHERE EXISTS (SELECT 1 FROM executions_steprun s WHERE s.lane = l.name AND s.status IN ('ready', 'waiting')
                AND s.held_host IS NULL AND s.due_at <= statement_timestamp())
  AND (SELECT count(*) FROM executions_steprun s WHERE s.lane = l.name AND s.status IN ('queued', 'running')) < l.width
"""

# Rung again at distances that double up to 60 seconds without an answer. A first bell is due at once. A step whose
# worker died is rung for soon again: its bell may have gone to that worker's own connection, if it was only stopped.
_RING_DUE = """(s.rung_at IS NULL OR s.rung_at < statement_timestamp()
    - make_interval(secs => least(60, {base} * power(2, least(s.rings, 10)))))"""
BASE_SECONDS, BASE_SECONDS_WHEN_LOST = 5, 1

_RING = """
WITH m AS MATERIALIZED (
  SELECT s.id FROM executions_steprun s WHERE {which} AND {ring_due}
  ORDER BY s.run_id LIMIT {at_once} FOR UPDATE SKIP LOCKED)
UPDATE executions_steprun s SET rung_at = clock_timestamp(), rings = least(s.rings + 1, 1000)
FROM m WHERE s.id = m.id
RETURNING s.id, s.lost, s.quarantined, s.attempts, s.key, s.lane, s.run_id, s.rings,
  s.status = 'waiting' AND s.error_code IS NULL
"""


def _ring(which: str, base: int = BASE_SECONDS) -> str:
    return _RING.format(which=which, ring_due=_RING_DUE.format(base=base), at_once=AT_ONCE)


FAST = _ring(
    "s.lane = 'fast' AND s.status IN ('ready', 'waiting') AND s.held_host IS NULL "
    "AND s.due_at <= statement_timestamp() - CASE s.status WHEN 'ready' THEN interval '1 second' ELSE interval '0' END"
)
QUEUED = _ring("s.status = 'queued'")
EXPIRED = _ring(
    "s.status = 'running' AND s.lease_expires_at < statement_timestamp() - make_interval(secs => %(margin)s::float8)",
    base=BASE_SECONDS_WHEN_LOST,
)

# Hosts whose turn it is (`circuits.releasing`): half open, to be probed, with steps that have waited for too long, or with
# steps that nobody else would release. Those that were left alone longest go first. '' when rows are to be forgotten.
CIRCUITS = """
WITH RECURSIVE h(host) AS (
  (SELECT held_host FROM executions_steprun WHERE status = 'waiting' AND held_host IS NOT NULL ORDER BY held_host LIMIT 1)
  UNION ALL
  SELECT (SELECT s.held_host FROM executions_steprun s WHERE s.status = 'waiting' AND s.held_host IS NOT NULL
            AND s.held_host > h.host ORDER BY 1 LIMIT 1)
  FROM h WHERE h.host IS NOT NULL)
SELECT host FROM (
  SELECT c.host, c.turned_at AS at FROM executions_circuit c
  WHERE c.state = 'half_open' OR (c.state = 'open' AND (c.retry_at <= statement_timestamp() OR EXISTS (
    SELECT 1 FROM executions_steprun s WHERE s.held_host = c.host AND s.held_host IS NOT NULL AND s.status = 'waiting'
      AND s.due_at <= statement_timestamp())))
  UNION ALL
  SELECT h.host, c.turned_at FROM h LEFT JOIN executions_circuit c ON c.host = h.host
  WHERE h.host IS NOT NULL AND coalesce(c.state, 'closed') = 'closed'
  UNION ALL
  SELECT '', NULL WHERE EXISTS (
    SELECT 1 FROM executions_circuit WHERE state = 'closed' AND heard_at < statement_timestamp() - interval '1 minute')
) turns ORDER BY at NULLS FIRST LIMIT 200
"""

# Two questions about schedules in one look: is one due, and was one's next instant computed with older time zone data?
TICKS = """
SELECT EXISTS (SELECT 1 FROM triggers_trigger WHERE next_due_at <= statement_timestamp() - interval '1 second'),
  EXISTS (SELECT 1 FROM triggers_trigger WHERE zone_data < %(zone_data)s::text AND next_due_at IS NOT NULL AND failures = 0)
"""

UNDECIDED = """
SELECT 1 FROM executions_effect e JOIN executions_steprun s ON s.id = e.step_run_id
WHERE e.status = 'intent' AND s.status IN ('completed', 'failed', 'skipped', 'cancelled')
  AND coalesce(s.lease_expires_at, '-infinity') < statement_timestamp() - make_interval(secs => %(margin)s::float8) LIMIT 1
"""

OVERDUE = """
SELECT id FROM executions_run WHERE status IN ('pending', 'running', 'waiting') AND deadline_at < statement_timestamp()
LIMIT 200
"""

SETTLE_EFFECTS = """
WITH m AS MATERIALIZED (
  SELECT e.id, e.step_run_id FROM executions_effect e JOIN executions_steprun s ON s.id = e.step_run_id
  WHERE e.status = 'intent' AND s.status IN ('completed', 'failed', 'skipped', 'cancelled')
    AND coalesce(s.lease_expires_at, '-infinity') < statement_timestamp() - make_interval(secs => %(margin)s::float8)
  ORDER BY s.run_id LIMIT 500 FOR UPDATE OF e SKIP LOCKED)
UPDATE executions_effect e SET status = 'unknown', decided_at = clock_timestamp() FROM m WHERE e.id = m.id
RETURNING e.id
"""


@dataclass
class Swept:
    """What was found and rung."""

    shards: list[int] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)
    advanced: list[str] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)
    expired: list[int] = field(default_factory=list)
    overdue: list[str] = field(default_factory=list)
    troubled_hosts: list[str] = field(default_factory=list)
    has_undecided_effects: bool = False
    has_ticks_due: bool = False
    has_outdated_schedules: bool = False
    has_notices_due: bool = False


def margin_seconds() -> float:
    """How long after its end a lease still counts: the owner has stopped by then whatever its clock says."""
    return settings.LIGHTFIELD_LEASE_SECONDS / 6


def sweep() -> Swept:
    """One look at everything that is due, in one short transaction; then the bells.

    None at all while nobody would hear them. A step that is noted as rung is left alone for longer each time, and a
    fast one that was rung three times is suspected of killing its worker.
    """
    swept = Swept()
    if not bells.can_ring():
        return swept
    with transaction.atomic():
        swept.shards = [found[0] for found in sql.rows(SHARDS, {})]
        swept.lanes = [found[0] for found in sql.rows(LANES, {})]
        fast = sql.rows(FAST, {})
        queued = sql.rows(QUEUED, {})
        expired = sql.rows(EXPIRED, {"margin": margin_seconds()})
        swept.overdue = [str(found[0]) for found in sql.rows(OVERDUE, {})]
        swept.troubled_hosts = [str(found[0]) for found in sql.rows(CIRCUITS, {})]
        [schedules] = sql.rows(TICKS, {"zone_data": zones.version()})
        swept.has_ticks_due, swept.has_outdated_schedules = schedules
        swept.has_notices_due = outgoing.is_due()
        swept.has_undecided_effects = bool(sql.rows(UNDECIDED, {"margin": margin_seconds()}))
    # Waking a sleeper runs nothing of an author's: it can kill no worker, and a cell would start the step anew.
    careful = [found for found in fast if found[7] >= CAREFUL_RINGS and not found[8]]
    swept.advanced = [str(found[6]) for found in fast if found[7] < CAREFUL_RINGS or found[8]]
    swept.queued = [found[0] for found in queued]
    swept.expired = [found[0] for found in expired]
    _ring_all(swept, careful, queued, expired)
    return swept


def _ring_all(swept: Swept, careful: list[Any], queued: list[Any], expired: list[Any]) -> None:
    for shard in swept.shards:
        bells.ring_dispatch(shard, forced=True)
    for lane in swept.lanes:
        bells.ring_admit(lane, forced=True)
    bells.ring_advance(swept.advanced)
    admission.ring_cells("fast", [(found[0], found[1]) for found in careful])
    for lane in sorted({found[5] for found in queued}):
        admission.ring(lane, [admission.Admitted(*found[:5]) for found in queued if found[5] == lane])
    for lane in sorted({found[5] for found in expired}):
        crashpoint("CP-X1")
        # Its loss is not counted yet: the first one shares a cell, the second makes it run alone.
        admission.ring_cells(lane, [(found[0], found[1] + 1) for found in expired if found[5] == lane])
        crashpoint("CP-X2")
    if swept.has_ticks_due:
        bells.ring_ticks(forced=True)
    if swept.has_notices_due:
        bells.ring_notices(forced=True)
    if swept.overdue:
        bells.ring_expire(swept.overdue)
    if swept.has_undecided_effects:
        bells.ring_settle_effects()


def settle_effects() -> int:
    """Effects of ended steps whose owner never came back: nobody will ever know. Returns how many."""
    return len(sql.rows(SETTLE_EFFECTS, {"margin": margin_seconds()}))
