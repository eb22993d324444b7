"""Attempts: counted before the work, closed once, each under a higher fence than the one before."""

from __future__ import annotations

from executions.outcomes import MOST_LOSSES, MOST_LOSSES_ALONE
from executions.verifying.invariant import Invariant, Subject

INVARIANTS = (
    Invariant(
        name="attempts-counted",
        number="I14",
        subject=Subject.STEPS,
        says="A step's attempts are 1 to n without gap, and n is the number that the step says.",
        broken="""
            SELECT s.id FROM executions_steprun s
            LEFT JOIN (SELECT step_run_id, count(*) AS rows, min(number) AS low, max(number) AS high
                       FROM executions_attempt GROUP BY step_run_id) a ON a.step_run_id = s.id
            WHERE coalesce(a.rows, 0) <> s.attempts OR a.low <> 1 OR a.high <> s.attempts""",
    ),
    Invariant(
        name="attempts-within-limit",
        number="I14",
        subject=Subject.STEPS,
        says="Attempts that neither lost their worker nor were put back unsent are at most max_attempts.",
        broken="SELECT id FROM executions_steprun WHERE attempts - lost - held > max_attempts",
    ),
    Invariant(
        name="losses-counted",
        number="I14",
        subject=Subject.STEPS,
        says="A step counts as many losses as it has lost attempts, and as many losses alone as a living worker "
        "witnessed of those that were alone in their process.",
        broken="""
            SELECT s.id FROM executions_steprun s
            LEFT JOIN (SELECT step_run_id, count(*) AS lost,
                         count(*) FILTER (WHERE alone AND witnessed) AS lost_alone
                       FROM executions_attempt WHERE outcome = 'lost' GROUP BY step_run_id) a ON a.step_run_id = s.id
            WHERE coalesce(a.lost, 0) <> s.lost OR coalesce(a.lost_alone, 0) <> s.lost_alone""",
    ),
    Invariant(
        name="holds-counted",
        subject=Subject.STEPS,
        says="A step counts as many attempts put back as it has; it waits for a host only after one, and only while it waits.",
        broken="""
            SELECT s.id FROM executions_steprun s
            LEFT JOIN (SELECT step_run_id, count(*) AS held, max(number) AS last
                       FROM executions_attempt WHERE outcome = 'held' GROUP BY step_run_id) a ON a.step_run_id = s.id
            WHERE coalesce(a.held, 0) <> s.held
              OR (s.held_host IS NOT NULL AND s.status = 'waiting' AND a.last IS DISTINCT FROM s.attempts)
              OR (s.held_host IS NOT NULL AND s.status IN ('ready', 'queued', 'running', 'completed'))""",
    ),
    Invariant(
        name="blamed-with-reason",
        subject=Subject.STEPS,
        says="A step that failed with step.worker_lost had lost three processes of its own before a living worker's "
        "eyes, or ten of any kind, the last three of them its own.",
        broken=f"""
            SELECT s.id FROM executions_steprun s
            WHERE s.status = 'failed' AND s.error_code = 'step.worker_lost' AND s.lost_alone < {MOST_LOSSES_ALONE}
              AND (s.lost < {MOST_LOSSES} OR {MOST_LOSSES_ALONE} > (
                SELECT count(*) FROM executions_attempt a WHERE a.step_run_id = s.id AND a.outcome = 'lost' AND a.alone
                  AND a.number > s.attempts - {MOST_LOSSES_ALONE}))""",
    ),
    Invariant(
        name="one-success",
        number="I14",
        subject=Subject.STEPS,
        says="A step has at most one attempt that succeeded: its last, and a slow step has then completed. A step "
        "that completed has it, unless it was taken over.",
        broken="""
            SELECT s.id FROM executions_steprun s
            LEFT JOIN (SELECT step_run_id, count(*) AS ok, max(number) AS last FROM executions_attempt
                       WHERE outcome = 'ok' GROUP BY step_run_id) a ON a.step_run_id = s.id
            WHERE a.ok > 1 OR a.last <> s.attempts OR (a.ok = 1 AND s.lane <> 'fast' AND s.status <> 'completed')
              OR (s.status = 'completed' AND NOT s.reused AND a.ok IS NULL)""",
    ),
    Invariant(
        name="open-attempt-is-running",
        subject=Subject.ATTEMPTS,
        says="An open attempt is the last one of a running step and holds its fence; every running step has one.",
        broken="""
            SELECT a.step_run_id || '#' || a.number FROM executions_attempt a
            LEFT JOIN executions_steprun s ON s.id = a.step_run_id AND s.status = 'running'
              AND s.attempts = a.number AND s.fence = a.fence
            WHERE a.outcome IS NULL AND s.id IS NULL
            UNION ALL
            SELECT s.id || '#' || s.attempts FROM executions_steprun s
            LEFT JOIN executions_attempt a ON a.step_run_id = s.id AND a.number = s.attempts AND a.outcome IS NULL
            WHERE s.status = 'running' AND a.number IS NULL""",
    ),
    Invariant(
        name="attempt-end-recorded",
        subject=Subject.ATTEMPTS,
        says="An attempt has an end exactly when it has an outcome, a code if it failed, none if it succeeded; a "
        "cancelled one had committed no intent.",
        broken="""
            SELECT step_run_id || '#' || number FROM executions_attempt
            WHERE (outcome IS NULL) <> (finished_at IS NULL) OR (outcome = 'ok' AND error_code IS NOT NULL)
              OR (outcome IN ('refused', 'permanent', 'lost', 'held') AND error_code IS NULL)
              OR (outcome = 'cancelled' AND intent_at IS NOT NULL)""",
    ),
    Invariant(
        name="fences-rise",
        number="I15",
        subject=Subject.ATTEMPTS,
        says="Each attempt has a higher fence than the one before it, and none a higher one than its step.",
        broken="""
            SELECT step_run_id || '#' || number FROM (
              SELECT step_run_id, number, fence, lag(fence) OVER (PARTITION BY step_run_id ORDER BY number) AS before
              FROM executions_attempt) x
            WHERE fence <= coalesce(before, 0)
            UNION ALL
            SELECT a.step_run_id || '#' || a.number FROM executions_attempt a
            JOIN executions_steprun s ON s.id = a.step_run_id WHERE a.fence > s.fence""",
    ),
    Invariant(
        name="codes-catalogued",
        subject=Subject.RUNS,
        says="Every error code on an event, run, step or attempt stands in the catalogue.",
        broken="""
            SELECT id::text FROM triggers_outboxevent WHERE error_code <> ALL (%(codes)s::text[])
            UNION ALL SELECT id::text FROM executions_run WHERE error_code <> ALL (%(codes)s::text[])
            UNION ALL SELECT id::text FROM executions_steprun WHERE error_code <> ALL (%(codes)s::text[])
            UNION ALL SELECT step_run_id || '#' || number FROM executions_attempt
            WHERE error_code <> ALL (%(codes)s::text[])""",
    ),
)
