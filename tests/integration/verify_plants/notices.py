"""Who is told of failures, and what follows for the workflow."""

from __future__ import annotations

from tests.integration.verify_plants.plant import Plant

PLANTS = [
    Plant("plan-follows-definition", "UPDATE workflows_workflowversion SET failure_channels = '{}'"),
    Plant(
        "run-ends-in-time", "UPDATE executions_run SET deadline_at = '2000-01-01' WHERE status = 'waiting'"
    ),
    Plant("run-ends-in-time", "UPDATE executions_run SET deadline_at = NULL WHERE status = 'waiting'"),
    Plant("failure-is-told", "DELETE FROM executions_notice WHERE channel = 'webhook'"),
    Plant(
        "failure-is-told",
        "UPDATE executions_notice SET run_id = (SELECT id FROM executions_run WHERE status = 'completed' LIMIT 1)",
    ),
    Plant("streak-as-its-version-says", "UPDATE executions_run SET in_streak = false"),
    Plant("notice-in-its-message", "UPDATE executions_notice SET message_id = NULL"),
    Plant("notice-in-its-message", "UPDATE executions_notice SET handled_at = NULL"),
    Plant("notice-in-its-message", "UPDATE executions_noticemessage SET channel = 'email'"),
    Plant("message-counts-its-runs", "UPDATE executions_noticemessage SET runs = runs + 1"),
    Plant("message-counts-its-runs", "UPDATE executions_noticemessage SET body = '{}'"),
    Plant(
        "notices-go-out",
        "UPDATE executions_notice SET handled_at = NULL, message_id = NULL, at = '2000-01-01'",
    ),
    Plant(
        "notices-go-out",
        "UPDATE executions_noticemessage SET status = 'pending', finished_at = NULL, created_at = '2000-01-01'",
    ),
    Plant("paused-for-a-reason", "UPDATE workflows_workflow SET paused_reason = 'workflow.failing'"),
    Plant("paused-for-a-reason", "UPDATE workflows_workflow SET paused_reason = 'tired', status = 'paused'"),
]
