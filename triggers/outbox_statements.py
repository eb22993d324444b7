"""The SQL that writes events: of webhooks, which commits by itself, and of whatever has a transaction of its own."""

from __future__ import annotations

from triggers.deliveries import statements
from triggers.signatures import TOLERANCE_SECONDS

# The version is pinned here: whatever is published before the dispatch, the run executes this one.
INSERT = """
  INSERT INTO triggers_outboxevent
    (id, trigger_id, workflow_id, version_id, source, idempotency_key, body_digest, payload, shard, trace_id,
     depth, caused_by, status, tries)
  SELECT %(id)s::uuid, found.id, found.workflow_id, found.version_id, %(source)s::varchar, %(key)s::varchar,
         %(digest)s::bytea, %(payload)s::jsonb, found.shard, %(trace_id)s::varchar, %(depth)s::smallint,
         %(caused_by)s::uuid, 'pending', 0
  FROM found
  ON CONFLICT DO NOTHING
  RETURNING id
"""

# Whose the address is now, and whose it was before, while that is still valid.
PRESENT = "(SELECT id FROM triggers_trigger WHERE token_hash = %(token_hash)s::varchar)"
PREVIOUS = """(SELECT id FROM triggers_trigger
     WHERE previous_token_hash = %(token_hash)s::varchar AND previous_token_until > clock_timestamp())"""

# A verdict: why a trigger takes nothing now.
REFUSED_AS = """CASE WHEN w.status = 'active' AND t.kind = 'webhook' THEN NULL
         WHEN w.status IN ('paused', 'archived') THEN w.status
         WHEN w.status = 'active' THEN 'other_kind' ELSE 'not_published' END"""

# Why the trigger of this token takes nothing now is told by the same one look at it. `unverified`: it wants a
# signature, and this request was not judged by it (any more: it may have been published anew since).
KNOWN = f"""known AS MATERIALIZED (
  SELECT t.id, t.shard, w.id AS workflow_id, w.active_version_id AS version_id,
    coalesce({REFUSED_AS}, CASE WHEN t.signing <> %(verified)s::varchar THEN 'unverified' END) AS refused_as
  FROM triggers_trigger t JOIN workflows_workflow w ON w.id = t.workflow_id
  WHERE t.id = coalesce({PRESENT}, {PREVIOUS}))"""

CAPTURE_WEBHOOK = f"""
WITH {KNOWN},
found AS (SELECT * FROM known WHERE refused_as IS NULL),
added AS ({INSERT}),
delivered AS ({statements.ACCEPTED})
SELECT known.id, known.shard, added.id, known.refused_as FROM known LEFT JOIN added ON true
"""

# The same for a request that could be replayed under another key: its body is a key too, for so long. Two at once
# meet at the body's row; it names the event that stands, which is an older one where the key was there before. Where
# the key was there with another body nothing may be remembered of this one: it is refused.
REPLAY_SECONDS = 2 * TOLERANCE_SECONDS
CAPTURE_REPLAYABLE = f"""
WITH {KNOWN},
open AS (SELECT * FROM known WHERE refused_as IS NULL),
fresh AS (
  INSERT INTO triggers_recentbody AS r (trigger_id, body_digest, event_id, seen_at)
  SELECT open.id, %(digest)s::bytea, coalesce(
    (SELECT e.id FROM triggers_outboxevent e
     WHERE e.trigger_id = open.id AND e.source = 'webhook' AND e.idempotency_key = %(key)s::varchar), %(id)s::uuid),
    clock_timestamp()
  FROM open WHERE NOT EXISTS (
    SELECT 1 FROM triggers_outboxevent e
    WHERE e.trigger_id = open.id AND e.source = 'webhook' AND e.idempotency_key = %(key)s::varchar
      AND e.body_digest <> %(digest)s::bytea)
  ON CONFLICT (trigger_id, body_digest) DO UPDATE SET event_id = EXCLUDED.event_id, seen_at = EXCLUDED.seen_at
    WHERE r.seen_at < clock_timestamp() - make_interval(secs => {REPLAY_SECONDS})
  RETURNING r.trigger_id),
found AS (SELECT open.* FROM open JOIN fresh ON fresh.trigger_id = open.id),
added AS ({INSERT}),
delivered AS ({statements.ACCEPTED})
SELECT known.id, known.shard, added.id, known.refused_as FROM known LEFT JOIN added ON true
"""

FORGET_BODIES = f"""
DELETE FROM triggers_recentbody WHERE id IN (
  SELECT id FROM triggers_recentbody WHERE seen_at < clock_timestamp() - make_interval(secs => {REPLAY_SECONDS})
  ORDER BY seen_at LIMIT %(most)s::int FOR UPDATE SKIP LOCKED)
"""

APPEND = f"""
WITH found AS MATERIALIZED (
  SELECT t.id, t.shard, w.id AS workflow_id, w.active_version_id AS version_id
  FROM triggers_trigger t JOIN workflows_workflow w ON w.id = t.workflow_id
  WHERE t.id = %(trigger_id)s::bigint)
{INSERT}
"""

# Pinned to the frozen draft instead.
APPEND_TEST = f"""
WITH found AS MATERIALIZED (
  SELECT t.id, t.shard, v.workflow_id, v.id AS version_id
  FROM triggers_trigger t JOIN workflows_workflowversion v ON v.workflow_id = t.workflow_id
  WHERE t.id = %(trigger_id)s::bigint AND v.id = %(version_id)s::bigint AND v.is_test)
{INSERT}
"""

# Equal bytes are the usual case; a sender that writes the same JSON differently still means the same.
WINNER = """
SELECT id, coalesce(body_digest = %(digest)s::bytea, false) OR payload = %(payload)s::jsonb
FROM triggers_outboxevent
WHERE trigger_id = %(trigger_id)s::bigint AND source = %(source)s::varchar AND idempotency_key = %(key)s::varchar
"""

ALREADY_THERE = "SELECT id, true FROM triggers_outboxevent WHERE id = %(id)s::uuid"

SAME_BODY = """
SELECT e.id, true FROM triggers_recentbody r JOIN triggers_outboxevent e ON e.id = r.event_id
WHERE r.trigger_id = %(trigger_id)s::bigint AND r.body_digest = %(digest)s::bytea
"""

# Of two bodies at once under one key the loser's is remembered, and has no event.
FORGET_BODY = """
DELETE FROM triggers_recentbody r WHERE r.trigger_id = %(trigger_id)s::bigint AND r.body_digest = %(digest)s::bytea
  AND NOT EXISTS (SELECT 1 FROM triggers_outboxevent e WHERE e.id = r.event_id)
"""
