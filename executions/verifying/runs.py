"""Runs: one per event and generation, pinned to a version, moving and ending with their steps."""

from __future__ import annotations

from executions.verifying.invariant import Invariant, Subject

INVARIANTS = (
    Invariant(
        name="run-generation-once",
        number="I7",
        subject=Subject.RUNS,
        says="An event has at most one run of each generation.",
        broken="""
            SELECT event_id FROM executions_run GROUP BY event_id, generation HAVING count(*) > 1""",
    ),
    Invariant(
        name="run-generations-without-gap",
        number="I7",
        subject=Subject.RUNS,
        says="The runs of an event are its generations 1, 2, 3 … without gap.",
        broken="""
            SELECT event_id FROM executions_run GROUP BY event_id
            HAVING min(generation) <> 1 OR max(generation) <> count(*)""",
    ),
    Invariant(
        name="replay-follows-its-original",
        number="I7",
        subject=Subject.RUNS,
        says="Generation 1 replays nothing; each later one replays the generation before it, of the same event.",
        broken="""
            SELECT r.id FROM executions_run r LEFT JOIN executions_run o ON o.id = r.replay_of_id
            WHERE (r.generation = 1) <> (r.replay_of_id IS NULL)
              OR (r.replay_of_id IS NOT NULL AND (o.event_id, o.generation + 1) IS DISTINCT FROM (r.event_id, r.generation))""",
    ),
    Invariant(
        name="only-newest-generation-lives",
        subject=Subject.RUNS,
        says="A run that has been replayed had failed or been cancelled.",
        broken="""
            SELECT o.id FROM executions_run r
            JOIN executions_run o ON o.event_id = r.event_id AND o.generation = r.generation - 1
            WHERE r.generation > 1 AND o.status NOT IN ('failed', 'cancelled')""",
    ),
    Invariant(
        name="run-pinned",
        number="I9",
        subject=Subject.RUNS,
        says="A run executes the version and workflow that its event pinned, and its steps belong to that workflow.",
        broken="""
            SELECT r.id FROM executions_run r LEFT JOIN triggers_outboxevent e ON e.id = r.event_id
            WHERE r.version_id IS DISTINCT FROM e.version_id OR r.workflow_id IS DISTINCT FROM e.workflow_id
            UNION ALL
            SELECT s.run_id FROM executions_steprun s JOIN executions_run r ON r.id = s.run_id
            WHERE s.workflow_id <> r.workflow_id""",
    ),
    Invariant(
        name="run-carries-trace",
        number="I24",
        subject=Subject.RUNS,
        says="A run carries the trace id of its event: 32 hexadecimal digits.",
        broken="""
            SELECT r.id FROM executions_run r LEFT JOIN triggers_outboxevent e ON e.id = r.event_id
            WHERE r.trace_id IS DISTINCT FROM e.trace_id OR r.trace_id COLLATE "C" !~ '^[0-9a-f]{32}$'""",
    ),
    Invariant(
        name="live-run-has-one-live-step",
        subject=Subject.RUNS,
        says="A live run has exactly one live step.",
        broken="""
            SELECT r.id FROM executions_run r
            LEFT JOIN (SELECT run_id, count(*) AS live FROM executions_steprun WHERE status = ANY (%(live_steps)s::text[])
                       GROUP BY run_id) s ON s.run_id = r.id
            WHERE r.status = ANY (%(live_runs)s::text[]) AND coalesce(s.live, 0) <> 1""",
    ),
    Invariant(
        name="ended-run-has-no-live-step",
        number="I11",
        subject=Subject.RUNS,
        says="Every step of an ended run has ended.",
        broken="""
            SELECT r.id FROM executions_steprun s JOIN executions_run r ON r.id = s.run_id
            WHERE s.status = ANY (%(live_steps)s::text[]) AND r.status = ANY (%(ended_runs)s::text[])""",
    ),
    Invariant(
        name="run-moves-with-its-step",
        subject=Subject.RUNS,
        says="A run is running while its step runs, waiting while its step waits or is queued again after a wait, "
        "and pending only before its first attempt.",
        broken="""
            SELECT r.id FROM executions_run r
            JOIN executions_steprun s ON s.run_id = r.id AND s.status = ANY (%(live_steps)s::text[])
            WHERE r.status = ANY (%(live_runs)s::text[]) AND NOT CASE
              WHEN s.status IN ('running', 'waiting') THEN r.status = s.status
              WHEN s.attempts = 0 THEN r.status IN ('pending', 'running')
              ELSE r.status = 'waiting' OR (r.status = 'running' AND s.lost > 0) END""",
    ),
    Invariant(
        name="run-ends-as-its-steps",
        number="I11",
        subject=Subject.RUNS,
        says="A failed run has exactly one failed step and that step's code, a cancelled run exactly one cancelled "
        "step; no other run has either.",
        broken="""
            SELECT r.id FROM executions_run r
            LEFT JOIN (SELECT run_id, count(*) FILTER (WHERE status = 'failed') AS failed,
                         count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
                         min(error_code) FILTER (WHERE status = 'failed') AS code
                       FROM executions_steprun GROUP BY run_id) s ON s.run_id = r.id
            WHERE coalesce(s.failed, 0) <> (r.status = 'failed')::int
              OR coalesce(s.cancelled, 0) <> (r.status = 'cancelled')::int
              OR (r.status = 'failed' AND s.code IS DISTINCT FROM r.error_code)""",
    ),
    Invariant(
        name="run-end-recorded",
        number="I10",
        subject=Subject.RUNS,
        says="A run has an end exactly when it has ended, and an error with its code exactly when it failed.",
        broken="""
            SELECT id FROM executions_run
            WHERE (status = ANY (%(ended_runs)s::text[])) <> (finished_at IS NOT NULL)
              OR (status = 'failed') <> (error_code IS NOT NULL) OR error_code COLLATE "C" !~ '^[a-z]+[.][a-z0-9_]+$'
              OR (error->>'code') IS DISTINCT FROM error_code""",
    ),
    Invariant(
        name="run-ends-in-time",
        subject=Subject.RUNS,
        says="No run is live long after its deadline, which every run has.",
        broken="""
            SELECT id FROM executions_run WHERE status = ANY (%(live_runs)s::text[])
              AND coalesce(deadline_at, '-infinity') < now() - make_interval(secs => %(grace)s::float8)""",
        remedy="Start a fast worker: it ends runs whose time is up.",
    ),
    Invariant(
        name="runs-ended",
        number="I10",
        subject=Subject.RUNS,
        says="No run is live.",
        broken="SELECT id FROM executions_run WHERE status = ANY (%(live_runs)s::text[])",
        only_quiesced=True,
    ),
)
