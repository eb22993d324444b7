"""The ledger before the request: intents are committed before anything is sent.

An intent freezes the request under its step's key. A later attempt finds it and sends the same; a step whose fence is
old, or whose effect is decided, gets no leave to send.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError

from lightfield.kernel import sql, strict_json

logger = logging.getLogger(__name__)

INTENT = """
WITH w AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(%(wanted)s::jsonb)
    AS w(id bigint, run_id uuid, fence int, key text, request jsonb, digest text)
  LIMIT jsonb_array_length(%(wanted)s::jsonb)),  -- see `completing.COMPLETE`
m AS MATERIALIZED (
  SELECT s.id, w.run_id, w.fence, w.key, w.request, w.digest
  FROM w JOIN executions_steprun s ON s.id = w.id
  WHERE s.fence = w.fence AND s.status || '' = 'running' ORDER BY s.run_id FOR UPDATE OF s),
st AS (
  UPDATE executions_steprun s SET lease_expires_at = clock_timestamp() + make_interval(secs => %(lease)s::float8)
  FROM m WHERE s.id = m.id),
a AS (
  UPDATE executions_attempt a SET intent_at = coalesce(a.intent_at, clock_timestamp())
  FROM m WHERE a.step_run_id = m.id AND a.fence = m.fence AND a.outcome IS NULL RETURNING a.step_run_id),
e AS (
  INSERT INTO executions_effect (scope, key, step_run_id, fence, status, request, request_digest, created_at)
  SELECT m.run_id, m.key, m.id, m.fence, 'intent', m.request, decode(m.digest, 'hex'), clock_timestamp() FROM m
  ORDER BY m.run_id
  ON CONFLICT (scope, key) DO UPDATE SET fence = excluded.fence WHERE executions_effect.status = 'intent'
  RETURNING step_run_id, request)
SELECT e.step_run_id, e.request::text FROM e JOIN a USING (step_run_id)
"""


def commit_intents(wanted: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Put these requests into the ledger before anything is sent: one statement, which also renews the leases.

    `wanted`: id, run_id, fence, key, request, digest (hex) of each step. Returns the frozen request by step run id:
    an earlier attempt's where there was one. A step that is missing was lost to somebody else: do not send.
    Repeating the call is harmless.
    """
    try:
        return _commit_intents(wanted)
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError:
        if len(wanted) == 1:
            raise
        logger.warning("intents_committed_alone", extra={"step_run_ids": [one["id"] for one in wanted]})
        return _one_by_one(wanted)


def _commit_intents(wanted: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    lease = settings.LIGHTFIELD_LEASE_SECONDS
    found = sql.rows(INTENT, {"wanted": sql.json(wanted), "lease": lease})
    return {step_run_id: strict_json.from_storage(request) for step_run_id, request in found}


def _one_by_one(wanted: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """What PostgreSQL refuses of one step must not stop the others: that one is not sent."""
    found: dict[int, dict[str, Any]] = {}
    for one in wanted:
        try:
            found.update(_commit_intents([one]))
        except (OperationalError, InterfaceError):
            raise
        except DatabaseError:
            logger.exception("intent_refused", extra={"step_run_id": one["id"]})
    return found
