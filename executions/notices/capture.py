"""A notice is written by the statement that fails the run: nobody can fail a run and tell nobody."""

from __future__ import annotations

from typing import Final

# Part of `settling.SETTLE`, which is the one door to `failed`. Not executed unless the run fails.
CAPTURE_NOTICES: Final = """
  INSERT INTO executions_notice (run_id, workflow_id, version_id, channel, at)
  SELECT r.id, r.workflow_id, r.version_id, channel, r.at
  FROM r JOIN workflows_workflowversion v ON v.id = r.version_id CROSS JOIN LATERAL unnest(v.failure_channels) channel
  WHERE %(run_status)s::text = 'failed'"""
