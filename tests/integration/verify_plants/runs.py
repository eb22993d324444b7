"""Runs and their steps."""

from __future__ import annotations

from tests.integration.verify_plants.plant import COMPLETED_RUN, COMPLETED_SLOW, Plant


def after_the_queued_step(status: str) -> str:
    return (
        "INSERT INTO executions_steprun (run_id, workflow_id, position, key, type, lane, max_attempts, status, fence, "
        "attempts, lost, lost_alone, quarantined, owner, due_at, rings, reused) SELECT run_id, workflow_id, "
        f"position + 1, 'next', type, lane, 5, '{status}', 0, 0, 0, 0, false, '', now(), 0, false "
        "FROM executions_steprun WHERE status = 'queued'"
    )


PLANTS = [
    # --- runs
    Plant(
        "run-generation-once",
        "UPDATE executions_run SET generation = 1, replay_of_id = NULL WHERE generation = 2",
    ),
    Plant("run-generations-without-gap", "UPDATE executions_run SET generation = 7 WHERE generation = 3"),
    Plant(
        "replay-follows-its-original", "UPDATE executions_run SET replay_of_id = NULL WHERE generation = 2"
    ),
    Plant(
        "replay-follows-its-original",
        f"UPDATE executions_run SET replay_of_id = {COMPLETED_RUN} WHERE generation = 2",
    ),
    Plant(
        "only-newest-generation-lives",
        "UPDATE executions_run SET status = 'running' WHERE generation = 1 AND event_id IN "
        "(SELECT event_id FROM executions_run WHERE generation = 2)",
    ),
    Plant("run-pinned", f"UPDATE executions_run SET version_id = version_id + 1 WHERE id = {COMPLETED_RUN}"),
    Plant("run-pinned", f"UPDATE executions_steprun SET workflow_id = uuid_v7() WHERE id = {COMPLETED_SLOW}"),
    Plant(
        "run-carries-trace",
        f"UPDATE executions_run SET trace_id = repeat('a', 32) WHERE id = {COMPLETED_RUN}",
    ),
    Plant(
        "run-carries-trace",
        "UPDATE executions_run SET trace_id = 'TRACE'; UPDATE triggers_outboxevent SET trace_id = 'TRACE'",
    ),
    Plant(
        "live-run-has-one-live-step",
        "UPDATE executions_steprun SET status = 'completed' WHERE status = 'queued'",
    ),
    Plant("live-run-has-one-live-step", after_the_queued_step("ready")),
    Plant(
        "live-run-has-one-live-step",
        f"UPDATE executions_run SET status = 'running' WHERE id = {COMPLETED_RUN}",
    ),
    Plant(
        "ended-run-has-no-live-step",
        f"UPDATE executions_steprun SET status = 'ready' WHERE id = {COMPLETED_SLOW}",
    ),
    Plant("run-moves-with-its-step", "UPDATE executions_run SET status = 'running' WHERE status = 'waiting'"),
    Plant("run-moves-with-its-step", "UPDATE executions_run SET status = 'pending' WHERE status = 'running'"),
    Plant("run-ends-as-its-steps", f"UPDATE executions_run SET status = 'failed' WHERE id = {COMPLETED_RUN}"),
    Plant(
        "run-ends-as-its-steps", "UPDATE executions_steprun SET status = 'skipped' WHERE status = 'cancelled'"
    ),
    Plant(
        "run-ends-as-its-steps",
        "UPDATE executions_steprun SET error_code = 'step.timeout' WHERE status = 'failed'",
    ),
    Plant("run-end-recorded", f"UPDATE executions_run SET finished_at = NULL WHERE id = {COMPLETED_RUN}"),
    Plant(
        "run-end-recorded",
        "UPDATE executions_run SET error_code = NULL, error = NULL WHERE status = 'failed'",
    ),
    Plant("run-end-recorded", "UPDATE executions_run SET error_code = 'Oops' WHERE status = 'failed'"),
    Plant(
        "run-end-recorded",
        "UPDATE executions_run SET error = '{\"code\": \"step.timeout\"}' WHERE status = 'failed'",
    ),
    Plant("runs-ended", "SELECT 1"),  # some are in flight
    # --- step runs
    Plant("step-rows-complete", "DELETE FROM executions_steprun WHERE status = 'skipped'"),
    Plant("step-rows-complete", f"UPDATE executions_steprun SET position = 9 WHERE id = {COMPLETED_SLOW}"),
    Plant("step-rows-complete", f"DELETE FROM executions_steprun WHERE run_id = {COMPLETED_RUN}"),
    Plant("step-as-planned", f"UPDATE executions_steprun SET key = 'other' WHERE id = {COMPLETED_SLOW}"),
    Plant("step-as-planned", f"UPDATE executions_steprun SET lane = 'ai' WHERE id = {COMPLETED_SLOW}"),
    Plant("step-as-planned", f"UPDATE executions_steprun SET max_attempts = 49 WHERE id = {COMPLETED_SLOW}"),
    Plant(
        "steps-in-order",
        "UPDATE executions_steprun SET status = 'completed' WHERE status = 'skipped' AND run_id IN "
        "(SELECT id FROM executions_run WHERE status = 'failed')",
    ),
    Plant(
        "steps-in-order",
        "UPDATE executions_steprun SET status = 'skipped' WHERE position = 1 AND status = 'completed'",
    ),
    Plant("steps-in-order", after_the_queued_step("skipped")),
    Plant(
        "step-end-recorded", f"UPDATE executions_steprun SET finished_at = NULL WHERE id = {COMPLETED_SLOW}"
    ),
    Plant("step-end-recorded", f"UPDATE executions_steprun SET output = NULL WHERE id = {COMPLETED_SLOW}"),
    Plant("step-end-recorded", "UPDATE executions_steprun SET error = NULL WHERE status = 'failed'"),
    Plant("step-end-recorded", "UPDATE executions_steprun SET fence = 1 WHERE status = 'skipped'"),
    Plant(
        "step-end-recorded", "UPDATE executions_steprun SET lease_expires_at = NULL WHERE status = 'running'"
    ),
    Plant(
        "reused-step-equals-original", "UPDATE executions_steprun SET output = '{\"other\": 1}' WHERE reused"
    ),
    Plant("reused-step-equals-original", "UPDATE executions_steprun SET reused = false WHERE reused"),
    Plant(
        "reused-step-equals-original",
        f"UPDATE executions_steprun SET reused = true WHERE id = {COMPLETED_SLOW}",
    ),
    Plant("window-kept", "UPDATE executions_lane SET width = 1"),
    Plant("window-kept", "UPDATE executions_lane SET per_workflow = 1"),
    Plant(
        "lease-not-outlived",
        "UPDATE executions_steprun SET lease_expires_at = now() - interval '31 seconds' WHERE status = 'running'",
    ),
    Plant("steps-ended", "SELECT 1"),  # some are in flight
]
