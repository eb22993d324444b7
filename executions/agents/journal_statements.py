"""The SQL of the journal: rows of turns, written under their step's fence, and looked for where a reply was lost."""

from __future__ import annotations

from typing import Final

from executions import timeline

LOAD: Final = """
SELECT number, kind, key, name, asked, answer, error_code, input_tokens, output_tokens, cost,
  extract(epoch FROM finished_at - started_at)::float8
FROM executions_agentturn WHERE step_run_id = %(step_run_id)s::bigint ORDER BY number
"""

# The run first, as everywhere, where its timeline is written. What is locked is looked at again after the wait for it.
_WRITE: Final = """
WITH {run}
st AS MATERIALIZED (
  SELECT s.id, s.fence, s.due_at FROM executions_steprun s {of_run}
  WHERE s.id = %(step_run_id)s::bigint AND s.run_id = %(run_id)s::uuid AND s.fence = %(fence)s::int
    AND s.status || '' = 'running'
  FOR NO KEY UPDATE OF s),
w AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(%(turns)s::jsonb) AS w(number int, kind text, key text, name text, asked jsonb,
    answer jsonb, error_code text, input_tokens int, output_tokens int, cost numeric, seconds float8)
  LIMIT jsonb_array_length(%(turns)s::jsonb)),  -- see `completing.COMPLETE`
t AS (  -- a row that stands there already is a request that may have been sent: it is finished, and nothing else
  INSERT INTO executions_agentturn AS t (step_run_id, number, kind, key, name, asked, answer, error_code,
    input_tokens, output_tokens, cost, fence, attempt, started_at, finished_at)
  SELECT st.id, w.number, w.kind, w.key, w.name, w.asked, w.answer, w.error_code,
    w.input_tokens, w.output_tokens, w.cost, st.fence, %(attempt)s::int,
    clock_timestamp() - make_interval(secs => coalesce(w.seconds, 0)),
    CASE WHEN w.seconds IS NOT NULL THEN clock_timestamp() END
  FROM st, w
  ON CONFLICT (step_run_id, number) DO UPDATE SET answer = excluded.answer, error_code = excluded.error_code,
    fence = excluded.fence, attempt = excluded.attempt, started_at = excluded.started_at,
    finished_at = excluded.finished_at
  WHERE t.finished_at IS NULL AND t.key = excluded.key
  RETURNING t.asked, t.finished_at){told}
SELECT CASE WHEN (SELECT count(*) FROM t) = jsonb_array_length(%(turns)s::jsonb) {and_told} THEN 1 ELSE lost_race() END,
  (SELECT asked FROM t WHERE finished_at IS NULL)::text
"""
WRITE: Final = _WRITE.format(run="", of_run="", told="", and_told="")
WRITE_AND_TELL: Final = _WRITE.format(
    run="""r AS (
  UPDATE executions_run SET seq = seq + jsonb_array_length(%(entries)s::jsonb),
    last_at = greatest(last_at, clock_timestamp())
  WHERE id = %(run_id)s::uuid AND status NOT IN ('completed', 'failed', 'cancelled')
  RETURNING id, seq, last_at AS at, jsonb_array_length(%(entries)s::jsonb) AS total),""",
    of_run="JOIN r ON r.id = s.run_id",
    told=f",\ne AS ({timeline.APPEND} RETURNING 1)",
    and_told="AND (SELECT count(*) FROM e) = jsonb_array_length(%(entries)s::jsonb)",
)

# Once nobody is at the step any more: a write whose connection broke may still be under way.
WAIT_FOR_STEP: Final = "SELECT 1 FROM executions_steprun WHERE id = %(step_run_id)s::bigint FOR NO KEY UPDATE"
WRITTEN: Final = """
SELECT t.number, t.answer, t.error_code, t.asked FROM executions_agentturn t
JOIN jsonb_to_recordset(%(turns)s::jsonb) AS w(number int, key text, seconds float8) ON w.number = t.number
WHERE t.step_run_id = %(step_run_id)s::bigint AND t.fence = %(fence)s::int AND t.key = w.key
  AND (t.finished_at IS NOT NULL) = (w.seconds IS NOT NULL)
ORDER BY t.number
"""
