"""What the timelines tell."""

from __future__ import annotations

from tests.integration.verify_plants.plant import COMPLETED_RUN, COMPLETED_SLOW, Plant

PLANTS = [
    Plant(
        "story-without-gap",
        f"DELETE FROM executions_timelineentry WHERE run_id = {COMPLETED_RUN} AND seq = 3",
    ),
    Plant("story-without-gap", f"DELETE FROM executions_timelineentry WHERE run_id = {COMPLETED_RUN}"),
    Plant("story-without-gap", f"UPDATE executions_run SET seq = seq + 1 WHERE id = {COMPLETED_RUN}"),
    Plant(
        "story-in-time",
        f"UPDATE executions_timelineentry SET at = at - interval '1 hour' WHERE run_id = {COMPLETED_RUN} AND seq = 4",
    ),
    Plant(
        "story-in-time",
        f"UPDATE executions_run SET last_at = now() + interval '1 hour' WHERE id = {COMPLETED_RUN}",
    ),
    Plant(
        "story-entries-legal",
        "UPDATE executions_timelineentry SET type = 'step.mystery' WHERE type = 'step.lost'",
    ),
    Plant(
        "story-entries-legal",
        "UPDATE executions_timelineentry SET from_status = 'ready' WHERE type = 'step.completed'",
    ),
    Plant(
        "story-entries-legal",
        "UPDATE executions_timelineentry SET step_key = NULL WHERE type = 'step.skipped'",
    ),
    Plant(
        "story-entries-legal",
        "UPDATE executions_timelineentry SET type = 'run.created' WHERE type = 'run.started'",
    ),
    Plant(
        "story-unbroken",
        "UPDATE executions_timelineentry SET from_status = 'waiting' WHERE type = 'step.started' AND attempt = 1",
    ),
    Plant(
        "story-unbroken",
        "UPDATE executions_timelineentry SET from_status = 'ready' WHERE type = 'step.started' AND attempt = 3",
    ),
    Plant("story-unbroken", "DELETE FROM executions_timelineentry WHERE type = 'run.started'"),
    Plant(
        "story-agrees-with-run", f"UPDATE executions_run SET status = 'cancelled' WHERE id = {COMPLETED_RUN}"
    ),
    Plant("story-agrees-with-run", "DELETE FROM executions_timelineentry WHERE type = 'run.failed'"),
    Plant(
        "story-agrees-with-steps",
        "UPDATE executions_steprun SET status = 'failed' WHERE status = 'cancelled'",
    ),
    Plant("story-agrees-with-steps", "DELETE FROM executions_timelineentry WHERE type = 'step.skipped'"),
    Plant("story-agrees-with-steps", "DELETE FROM executions_timelineentry WHERE type = 'step.waiting'"),
    Plant(
        "story-agrees-with-steps",
        "UPDATE executions_timelineentry SET step_key = 'ghost' WHERE step_key = 'two'",
    ),
    Plant(
        "story-agrees-with-steps", f"UPDATE executions_steprun SET reused = true WHERE id = {COMPLETED_SLOW}"
    ),
    Plant(
        "run-ends-once",
        "UPDATE executions_timelineentry SET type = 'run.completed', to_status = 'completed' WHERE type = 'run.started'",
    ),
    Plant("run-ends-once", f"UPDATE executions_run SET seq = seq + 1 WHERE id = {COMPLETED_RUN}"),
    Plant(
        "step-ends-once",
        "UPDATE executions_timelineentry SET type = 'step.completed', to_status = 'completed' WHERE type = 'step.retrying'",
    ),
    Plant(
        "step-ends-once",
        "UPDATE executions_timelineentry t SET seq = t.seq + 100 FROM executions_run r "
        "WHERE r.id = t.run_id AND r.status = 'completed' AND t.type = 'step.logged'",
    ),
    Plant(
        "attempts-told", "DELETE FROM executions_timelineentry WHERE type = 'step.started' AND attempt = 2"
    ),
    Plant("attempts-told", "DELETE FROM executions_timelineentry WHERE type = 'step.lost'"),
    Plant("attempts-told", "UPDATE executions_timelineentry SET attempt = 2 WHERE type = 'step.logged'"),
    Plant(
        "story-keeps-fences",
        "UPDATE executions_timelineentry SET fence = 9 WHERE type = 'step.retrying' AND attempt = 1",
    ),
]
