"""How many runs of a workflow failed in a row.

Counted from the rows, off the way of the runs: no row is shared by all runs of a workflow. In a row means by
`finished_at`; a completed run ends the row, a cancelled one neither ends nor lengthens it. Only runs of the same
version count that were created since the workflow was last published or resumed, so that what is left of before
counts no more.
"""

from __future__ import annotations

from typing import Final

from lightfield.kernel import sql
from workflows.definitions import MAX_FAILURES_IN_A_ROW

STREAK: Final = """
SELECT coalesce(min(place) FILTER (WHERE status = 'completed') - 1, count(*))::int FROM (
  SELECT status, row_number() OVER (ORDER BY finished_at DESC, id DESC) AS place FROM (
    SELECT status, finished_at, id FROM executions_run
    WHERE workflow_id = %(workflow_id)s::uuid AND in_streak AND status IN ('completed', 'failed')
      AND version_id = %(version_id)s::bigint
      AND created_at >= coalesce(
        (SELECT active_since FROM workflows_workflow WHERE id = %(workflow_id)s::uuid), '-infinity')
    ORDER BY finished_at DESC, id DESC LIMIT %(most)s::int) newest) placed
"""


def failures_in_a_row(workflow_id: str, version_id: int) -> int:
    """At most `MAX_FAILURES_IN_A_ROW`."""
    params = {"workflow_id": workflow_id, "version_id": version_id, "most": MAX_FAILURES_IN_A_ROW}
    found = sql.row(STREAK, params)
    return int(found[0]) if found else 0
