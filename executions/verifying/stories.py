"""Timelines: without gap, in order of time, a legal path from the first entry to the status of the row."""

from __future__ import annotations

from executions.verifying.invariant import Invariant, Subject

INVARIANTS = (
    Invariant(
        name="story-without-gap",
        number="I19",
        subject=Subject.RUNS,
        says="A run's entries are numbered 1 to n without gap, and n is the run's counter.",
        broken="""
            SELECT r.id FROM executions_run r
            LEFT JOIN (SELECT run_id, count(*) AS rows, min(seq) AS low, max(seq) AS high
                       FROM executions_timelineentry GROUP BY run_id) t ON t.run_id = r.id
            WHERE t.rows IS NULL OR t.low <> 1 OR t.high <> t.rows OR t.high <> r.seq""",
    ),
    Invariant(
        name="story-in-time",
        number="I20",
        subject=Subject.ENTRIES,
        says="Time never runs backwards along a run's entries; the newest has the run's own instant.",
        broken="""
            SELECT run_id || ' ' || seq FROM (
              SELECT run_id, seq, at, lag(at) OVER (PARTITION BY run_id ORDER BY seq) AS before
              FROM executions_timelineentry) x WHERE at < before
            UNION ALL
            SELECT t.run_id || ' ' || t.seq FROM executions_run r
            JOIN executions_timelineentry t ON t.run_id = r.id AND t.seq = r.seq WHERE t.at <> r.last_at""",
    ),
    Invariant(
        name="story-entries-legal",
        number="I21",
        subject=Subject.ENTRIES,
        says="An entry tells one of the changes that its type may tell, of a step if it is a step's; the first "
        "entry, and no other, is run.created.",
        broken="""
            SELECT run_id || ' ' || seq FROM executions_timelineentry
            WHERE type || ' ' || coalesce(from_status, '') || '>' || coalesce(to_status, '') <> ALL (%(legal)s::text[])
              OR (left(type, 5) = 'step.') <> (step_key IS NOT NULL) OR (seq = 1) <> (type = 'run.created')""",
    ),
    Invariant(
        name="story-unbroken",
        number="I21",
        subject=Subject.ENTRIES,
        says="Each change of a run or step starts from where its last one ended; a step begins as ready.",
        broken="""
            SELECT run_id || ' ' || seq FROM (
              SELECT run_id, seq, step_key, from_status, to_status,
                lag(to_status) OVER (PARTITION BY run_id, step_key COLLATE "C" ORDER BY seq) AS before
              FROM executions_timelineentry WHERE to_status IS NOT NULL) x
            WHERE from_status IS DISTINCT FROM CASE
              WHEN before IS NOT NULL THEN before
              WHEN step_key IS NOT NULL AND to_status <> 'skipped' THEN 'ready' END""",
    ),
    Invariant(
        name="story-agrees-with-run",
        number="I22",
        subject=Subject.RUNS,
        says="The last change told of a run is the status of its row.",
        broken="""
            SELECT r.id FROM executions_run r
            LEFT JOIN (SELECT DISTINCT ON (run_id) run_id, to_status FROM executions_timelineentry
                       WHERE step_key IS NULL AND to_status IS NOT NULL ORDER BY run_id, seq DESC) t ON t.run_id = r.id
            WHERE t.to_status IS DISTINCT FROM CASE r.status WHEN 'waiting' THEN 'running' ELSE r.status END""",
    ),
    Invariant(
        name="story-agrees-with-steps",
        number="I22",
        subject=Subject.STEPS,
        says="The last change told of a step is the status of its row; of a step taken over by a replay, and of "
        "one that is no step of the run, nothing is told.",
        broken="""
            SELECT s.run_id || ' ' || s.key FROM executions_steprun s
            LEFT JOIN executions_timelineentry t
              ON t.run_id = s.run_id AND t.step_key = s.key AND t.to_status = s.status
            WHERE s.status = ANY (%(ended_steps)s::text[]) AND NOT s.reused AND t.seq IS NULL
            UNION ALL
            SELECT s.run_id || ' ' || s.key FROM executions_steprun s
            LEFT JOIN LATERAL (
              SELECT to_status FROM executions_timelineentry t
              WHERE t.run_id = s.run_id AND t.step_key = s.key AND t.to_status IS NOT NULL
              ORDER BY t.seq DESC LIMIT 1) told ON true
            WHERE s.status = ANY (%(live_steps)s::text[]) AND told.to_status IS DISTINCT FROM CASE
              WHEN s.status IN ('running', 'waiting') THEN s.status
              WHEN s.attempts > s.lost THEN 'waiting' WHEN s.lost > 0 THEN 'ready' END
            UNION ALL
            SELECT t.run_id || ' ' || t.step_key FROM executions_timelineentry t
            LEFT JOIN executions_steprun s ON s.run_id = t.run_id AND s.key = t.step_key AND NOT s.reused
            WHERE t.step_key IS NOT NULL AND s.id IS NULL""",
    ),
    Invariant(
        name="run-ends-once",
        number="I23",
        subject=Subject.RUNS,
        says="A run's end is told once, and nothing after it.",
        broken="""
            SELECT r.id FROM executions_run r
            JOIN (SELECT run_id, count(*) AS ends, max(seq) AS last FROM executions_timelineentry
                  WHERE step_key IS NULL AND to_status = ANY (%(ended_runs)s::text[]) GROUP BY run_id) t ON t.run_id = r.id
            WHERE t.ends > 1 OR t.last <> r.seq""",
    ),
    Invariant(
        name="step-ends-once",
        number="I23",
        subject=Subject.STEPS,
        says="A step's end is told once, and nothing of that step after it.",
        broken="""
            SELECT run_id || ' ' || step_key FROM executions_timelineentry WHERE step_key IS NOT NULL
            GROUP BY run_id, step_key
            HAVING count(*) FILTER (WHERE to_status = ANY (%(ended_steps)s::text[])) > 1
              OR max(seq) > max(seq) FILTER (WHERE to_status = ANY (%(ended_steps)s::text[]))""",
    ),
    Invariant(
        name="attempts-told",
        number="I22",
        subject=Subject.STEPS,
        says="Every attempt's start is told once, every loss once (the last as the step's failure), and no entry "
        "names an attempt that is not there.",
        broken="""
            SELECT s.id FROM executions_steprun s
            LEFT JOIN (SELECT run_id, step_key, max(attempt) AS highest, count(*) FILTER (WHERE type = 'step.started') AS starts,
                         count(*) FILTER (WHERE type = 'step.lost') AS losses
                       FROM executions_timelineentry WHERE step_key IS NOT NULL
                       GROUP BY run_id, step_key) t ON t.run_id = s.run_id AND t.step_key = s.key
            LEFT JOIN executions_attempt a
              ON s.lost > 0 AND a.step_run_id = s.id AND a.number = s.attempts AND a.outcome = 'lost'
            WHERE coalesce(t.starts, 0) <> s.attempts OR coalesce(t.highest, 0) <> s.attempts
              OR coalesce(t.losses, 0) + (a.number IS NOT NULL)::int <> s.lost""",
    ),
    Invariant(
        name="story-keeps-fences",
        number="I15",
        subject=Subject.ENTRIES,
        says="Nobody told anything of a step under an older fence after a newer one.",
        broken="""
            SELECT run_id || ' ' || seq FROM (
              SELECT run_id, seq, fence, lag(fence) OVER (PARTITION BY run_id, step_key COLLATE "C" ORDER BY seq) AS before
              FROM executions_timelineentry WHERE fence IS NOT NULL) x WHERE fence < before""",
    ),
)
