"""Leases of the steps in hand, prolonged in the database: who still holds a step, by its fence, keeps it for longer."""

from __future__ import annotations

from django.conf import settings

from lightfield.kernel import sql

# The LIMITs: see `completing.COMPLETE`.
RENEW = """
WITH m AS MATERIALIZED (
  SELECT s.id FROM (
    SELECT * FROM jsonb_to_recordset(%(held)s::jsonb) AS w(id bigint, fence int)
    LIMIT jsonb_array_length(%(held)s::jsonb)) w
  JOIN executions_steprun s ON s.id = w.id
  WHERE s.fence = w.fence AND s.status || '' = 'running' ORDER BY s.run_id FOR UPDATE OF s SKIP LOCKED)
UPDATE executions_steprun s SET lease_expires_at = clock_timestamp() + make_interval(secs => %(lease)s::float8)
FROM m WHERE s.id = m.id RETURNING s.id
"""

STILL_OURS = """
SELECT s.id FROM (
  SELECT * FROM jsonb_to_recordset(%(held)s::jsonb) AS w(id bigint, fence int)
  LIMIT jsonb_array_length(%(held)s::jsonb)) w
JOIN executions_steprun s ON s.id = w.id WHERE s.fence = w.fence AND s.status || '' = 'running'
"""


def renew(held: list[tuple[int, int]]) -> tuple[set[int], set[int]]:
    """Extend the leases of (step run id, fence) pairs. Returns the ids renewed and the ids lost to others.

    A row that somebody has locked right now is in neither: it was skipped, and is looked at again next time.
    """
    pairs = sql.json([{"id": step_run_id, "fence": fence} for step_run_id, fence in held])
    renewed = {
        found[0] for found in sql.rows(RENEW, {"held": pairs, "lease": settings.LIGHTFIELD_LEASE_SECONDS})
    }
    lost: set[int] = set()
    if len(renewed) < len(held):
        ours = {found[0] for found in sql.rows(STILL_OURS, {"held": pairs})}
        lost = {step_run_id for step_run_id, _ in held} - ours - renewed
    return renewed, lost
