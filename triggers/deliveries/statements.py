"""How deliveries are written and pruned: the only SQL that changes them."""

from __future__ import annotations

import json
from typing import Any, Final

from triggers.deliveries.arrivals import Arrival

# Part of the statement that captures a webhook (`triggers.outbox`), whose `found` is the trigger and `added` the event:
# no event, no row. A capture without an arrival (`delivery_id` is null) is one that nobody delivered.
ACCEPTED: Final = """
  INSERT INTO triggers_delivery (id, trigger_id, workflow_id, address, headers, digest, size, content_type, verdict,
    detail, answer, event_id)
  SELECT %(delivery_id)s::uuid, found.id, found.workflow_id, %(address)s::varchar, %(headers)s::jsonb, %(digest)s::bytea,
    %(size)s::bigint, %(content_type)s::varchar, 'accepted', '{}', 202, added.id
  FROM found JOIN added ON true WHERE %(delivery_id)s::uuid IS NOT NULL
"""

# All that a process noted since it last wrote. A note names its trigger, or the hash of the address it came to; one of
# neither kind that exists is counted for its day, and nothing of it is stored.
NOTED: Final = """
WITH noted AS MATERIALIZED (
  SELECT r.*, statement_timestamp() - make_interval(secs => r.age) AS at
  FROM jsonb_to_recordset(%(notes)s::jsonb) AS r(id uuid, trigger_id bigint, token_hash varchar, age float8,
    address varchar, headers jsonb, digest varchar, size bigint, content_type varchar, verdict varchar, code varchar,
    detail jsonb, answer smallint, event_id uuid, body varchar, count bigint, is_counted boolean)),
known AS MATERIALIZED (
  SELECT t.id AS of_trigger, t.workflow_id, noted.* FROM noted CROSS JOIN LATERAL (
    SELECT id, workflow_id FROM triggers_trigger WHERE id = noted.trigger_id
    UNION ALL
    SELECT id, workflow_id FROM triggers_trigger WHERE noted.trigger_id IS NULL AND token_hash = noted.token_hash
    UNION ALL
    SELECT id, workflow_id FROM triggers_trigger WHERE noted.trigger_id IS NULL
      AND previous_token_hash = noted.token_hash AND previous_token_until > noted.at) t),
single AS (
  INSERT INTO triggers_delivery (id, trigger_id, workflow_id, at, address, headers, digest, size, content_type, verdict,
    code, detail, answer, event_id, body)
  SELECT id, of_trigger, workflow_id, at, address, headers, decode(digest, 'hex'), size, content_type, verdict,
    code, detail, answer, event_id, body::jsonb
  FROM known WHERE NOT is_counted ON CONFLICT (id) DO NOTHING),
counted AS (
  INSERT INTO triggers_delivery AS held (id, trigger_id, workflow_id, at, address, headers, content_type, verdict,
    code, detail, answer, count, minute)
  SELECT uuid_v7(), of_trigger, workflow_id, max(at), max(address), '{}', '', verdict,
    max(code), '{}', max(answer), sum(count), date_trunc('minute', at)
  FROM known WHERE is_counted GROUP BY of_trigger, workflow_id, verdict, date_trunc('minute', at)
  ORDER BY of_trigger, verdict, date_trunc('minute', at)  -- as all processes do, so that they wait for each other in turn
  ON CONFLICT (trigger_id, verdict, minute) WHERE minute IS NOT NULL
    DO UPDATE SET count = held.count + EXCLUDED.count, at = EXCLUDED.at, address = EXCLUDED.address),
unmatched AS (
  INSERT INTO triggers_unmatchedday AS held (day, count)
  SELECT (statement_timestamp() AT TIME ZONE 'UTC')::date, n FROM (
    SELECT (SELECT coalesce(sum(count), 0) FROM noted)
      - (SELECT coalesce(sum(count), 0) FROM known) AS n) rest
  WHERE n > 0 ON CONFLICT (day) DO UPDATE SET count = held.count + EXCLUDED.count)
SELECT of_trigger, CASE WHEN NOT is_counted THEN id END, verdict, code, count, detail, age FROM known
"""

# In the order of the primary key, so that what is oldest of all is found by one probe. Locked rows are somebody else's
# to delete.
TOO_OLD: Final = """
DELETE FROM triggers_delivery WHERE id IN (
  SELECT id FROM triggers_delivery WHERE id < %(before)s::uuid ORDER BY id LIMIT %(batch)s::int FOR UPDATE SKIP LOCKED)
RETURNING 1
"""

# The workflows behind this one that have deliveries, one probe for each.
NEXT: Final = """
WITH RECURSIVE w(id) AS (
  (SELECT workflow_id FROM triggers_delivery WHERE workflow_id > %(after)s::uuid ORDER BY workflow_id LIMIT 1)
  UNION ALL
  SELECT (SELECT d.workflow_id FROM triggers_delivery d WHERE d.workflow_id > w.id ORDER BY 1 LIMIT 1)
  FROM w WHERE w.id IS NOT NULL)
SELECT id FROM w WHERE id IS NOT NULL LIMIT %(workflows)s::int
"""

BEYOND: Final = """
DELETE FROM triggers_delivery WHERE id IN (
  SELECT id FROM triggers_delivery WHERE workflow_id = %(workflow_id)s::uuid AND id < (
    SELECT id FROM triggers_delivery WHERE workflow_id = %(workflow_id)s::uuid
    ORDER BY id DESC OFFSET %(most)s::int - 1 LIMIT 1)
  ORDER BY id LIMIT %(batch)s::int FOR UPDATE SKIP LOCKED)
RETURNING 1
"""

# A person's test of the draft: written with its event.
TEST: Final = """
INSERT INTO triggers_delivery (id, trigger_id, workflow_id, address, headers, digest, size, content_type, verdict,
  detail, answer, event_id, again_of, is_test)
SELECT %(id)s::uuid, trigger_id, workflow_id, '', '{}', digest, size, content_type, 'accepted', '{}', 202,
  %(event_id)s::uuid, id, true
FROM triggers_delivery WHERE id = %(again_of)s::uuid
"""


def columns(arrival: Arrival | None) -> dict[str, Any]:
    """The parameters of ACCEPTED besides the event's own."""
    return {
        "delivery_id": arrival and arrival.id,
        "address": arrival and arrival.address,
        "headers": arrival and json.dumps(arrival.headers),
        "size": arrival and arrival.size,
        "content_type": arrival and arrival.content_type,
    }
