"""Step runs: as planned, in order, within the window, never running past their lease."""

from __future__ import annotations

from executions.verifying.invariant import Invariant, Subject

INVARIANTS = (
    Invariant(
        name="step-rows-complete",
        number="I11",
        subject=Subject.RUNS,
        says="A run's steps are positions 1, 2, 3 … without gap; an ended run has a row for every planned step.",
        broken="""
            WITH planned AS MATERIALIZED (
              SELECT id, jsonb_array_length(plan) AS steps FROM workflows_workflowversion)
            SELECT r.id FROM executions_run r JOIN planned ON planned.id = r.version_id
            LEFT JOIN (SELECT run_id, count(*) AS rows, min(position) AS low, max(position) AS high
                       FROM executions_steprun GROUP BY run_id) s ON s.run_id = r.id
            WHERE s.rows IS NULL OR s.low <> 1 OR s.high <> s.rows OR s.rows > planned.steps
              OR (r.status = ANY (%(ended_runs)s::text[]) AND s.rows <> planned.steps)""",
    ),
    Invariant(
        name="step-as-planned",
        number="I9",
        subject=Subject.STEPS,
        says="A step run has the key, type, lane and attempt limit that its run's version plans at its position.",
        broken="""
            WITH planned AS MATERIALIZED (
              SELECT v.id, x.position, x.step->>'key' AS key, x.step->>'type' AS type, x.step->>'lane' AS lane,
                (x.step->>'max_attempts')::int AS max_attempts
              FROM workflows_workflowversion v, jsonb_array_elements(v.plan) WITH ORDINALITY AS x(step, position))
            SELECT s.id FROM executions_steprun s JOIN executions_run r ON r.id = s.run_id
            LEFT JOIN planned p ON p.id = r.version_id AND p.position = s.position
            WHERE p.id IS NULL OR (p.key, p.type, p.lane, p.max_attempts) <> (s.key, s.type, s.lane, s.max_attempts)""",
    ),
    Invariant(
        name="steps-in-order",
        number="I12",
        subject=Subject.STEPS,
        says="A step starts after the one before it completed; after a failed, cancelled or skipped step all are "
        "skipped; after a live one there is none.",
        broken="""
            SELECT id FROM (
              SELECT id, status, lag(status) OVER (PARTITION BY run_id ORDER BY position) AS before
              FROM executions_steprun) x
            WHERE CASE WHEN before IS NULL THEN status = 'skipped'
                       WHEN before = 'completed' THEN false
                       WHEN before IN ('failed', 'cancelled', 'skipped') THEN status <> 'skipped'
                       ELSE true END""",
    ),
    Invariant(
        name="step-end-recorded",
        subject=Subject.STEPS,
        says="A step has an end exactly when it has ended; a completed one its output and no error, a failed one "
        "its error, a skipped one no trace of work; a running one its lease.",
        broken="""
            SELECT id FROM executions_steprun
            WHERE (status = ANY (%(ended_steps)s::text[])) <> (finished_at IS NOT NULL)
              OR (status = 'completed' AND (output IS NULL OR error_code IS NOT NULL))
              OR (status = 'failed' AND (error_code IS NULL OR (error->>'code') IS DISTINCT FROM error_code))
              OR (status = 'skipped' AND (fence > 0 OR attempts > 0 OR output IS NOT NULL))
              OR (status = 'running' AND lease_expires_at IS NULL)""",
    ),
    Invariant(
        name="reused-step-equals-original",
        subject=Subject.STEPS,
        says="A replay takes over every completed step of the run it replays, with the same output and no attempt, "
        "and takes over nothing else.",
        broken="""
            SELECT s.id FROM executions_steprun s JOIN executions_run r ON r.id = s.run_id
            LEFT JOIN executions_steprun o ON o.run_id = r.replay_of_id AND o.position = s.position
            WHERE s.reused AND (s.status <> 'completed' OR s.attempts > 0 OR o.id IS NULL
              OR o.status <> 'completed' OR o.key <> s.key OR o.output IS DISTINCT FROM s.output)
            UNION ALL
            SELECT o.id FROM executions_run r
            JOIN executions_steprun o ON o.run_id = r.replay_of_id AND o.status = 'completed'
            LEFT JOIN executions_steprun s ON s.run_id = r.id AND s.position = o.position
            WHERE s.reused IS NOT TRUE""",
    ),
    Invariant(
        name="window-kept",
        subject=Subject.LANES,
        says="Steps in flight on a lane are at most its width, and those of one workflow at most its share.",
        broken="""
            WITH flying AS MATERIALIZED (
              SELECT lane, workflow_id, count(*) AS steps FROM executions_steprun
              WHERE status IN ('queued', 'running') GROUP BY lane, workflow_id)
            SELECT l.name FROM executions_lane l JOIN flying f ON f.lane = l.name
            GROUP BY l.name, l.width HAVING sum(f.steps) > l.width
            UNION ALL
            SELECT l.name || ' ' || f.workflow_id FROM executions_lane l JOIN flying f ON f.lane = l.name
            WHERE f.steps > l.per_workflow""",
    ),
    Invariant(
        name="lease-not-outlived",
        number="I13",
        subject=Subject.STEPS,
        says="No step is running longer than half a minute past its lease.",
        # now() is the instant of the snapshot: renewals after it are not seen either.
        broken="""
            SELECT id FROM executions_steprun
            WHERE status = 'running' AND lease_expires_at < now() - make_interval(secs => %(grace)s::float8)""",
    ),
    Invariant(
        name="steps-ended",
        number="I11",
        subject=Subject.STEPS,
        says="No step is live.",
        broken="SELECT id FROM executions_steprun WHERE status = ANY (%(live_steps)s::text[])",
        only_quiesced=True,
    ),
)
