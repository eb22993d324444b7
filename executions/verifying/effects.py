"""The ledger of effects: intended before anything is sent, decided once, and true to the attempts."""

from __future__ import annotations

from executions.verifying.invariant import Invariant, Subject

INVARIANTS = (
    Invariant(
        name="effect-key-once",
        number="I16",
        subject=Subject.EFFECTS,
        says="A run has at most one effect under one key, and an effect's scope is the run of its step.",
        broken="""
            SELECT min(id) FROM executions_effect GROUP BY scope, key HAVING count(*) > 1
            UNION ALL
            SELECT e.id FROM executions_effect e
            LEFT JOIN executions_steprun s ON s.id = e.step_run_id AND s.run_id = e.scope WHERE s.id IS NULL""",
    ),
    Invariant(
        name="one-request-per-key",
        number="I16",
        subject=Subject.EFFECTS,
        says="Whatever is sent under one key is the same request, also in replays.",
        broken="""
            SELECT min(id) FROM executions_effect GROUP BY key
            HAVING count(DISTINCT request_digest) > 1""",
    ),
    Invariant(
        name="effect-decided-after-its-step",
        subject=Subject.EFFECTS,
        says="An effect is undecided while its step lives, and has its instant of decision once it is decided.",
        broken="""
            SELECT e.id FROM executions_effect e LEFT JOIN executions_steprun s ON s.id = e.step_run_id
            WHERE (e.status <> 'intent' AND (s.status = ANY (%(ended_steps)s::text[])) IS NOT TRUE)
              OR (e.status <> 'intent') <> (e.decided_at IS NOT NULL)""",
    ),
    Invariant(
        name="completed-step-has-done-effect",
        number="I17",
        subject=Subject.STEPS,
        says="A completed step that acts outside or writes records has a done effect and no other, unless it was taken "
        "over by a replay.",
        broken="""
            SELECT s.id FROM executions_steprun s
            LEFT JOIN executions_effect e ON e.step_run_id = s.id AND e.status = 'done'
            WHERE s.status = 'completed' AND (s.lane <> 'fast' OR s.type = ANY (%(writing_types)s::text[]))
              AND NOT s.reused AND e.id IS NULL
            UNION ALL
            SELECT s.id FROM executions_effect e JOIN executions_steprun s ON s.id = e.step_run_id
            WHERE s.status = 'completed' AND e.status <> 'done'""",
    ),
    Invariant(
        name="written-with-its-step",
        number="I17",
        subject=Subject.EFFECTS,
        says="The effect of a step that writes records is done by the very transaction that completed the step, and by no "
        "other; step and effect name the same record.",
        broken="""
            SELECT e.id FROM executions_effect e JOIN executions_steprun s ON s.id = e.step_run_id
            WHERE s.lane = 'fast' AND ((e.status, s.status) <> ('done', 'completed')
              OR e.decided_at IS DISTINCT FROM s.finished_at
              OR (e.answer ? 'created' AND (e.answer->'id', e.answer->'created')
                  IS DISTINCT FROM (s.output->'id', s.output->'created')))""",
    ),
    Invariant(
        name="record-created-once",
        subject=Subject.EFFECTS,
        says="No two steps say that they created the same record.",
        broken="""
            SELECT min(id) FROM executions_effect WHERE status = 'done' AND answer->'created' = 'true'
            GROUP BY answer->'type', answer->'id' HAVING count(*) > 1""",
    ),
    Invariant(
        name="intent-before-send",
        subject=Subject.ATTEMPTS,
        says="An attempt that may have sent committed its intent first: the ledger has the effect of every intent, "
        "and every effect was intended under the fence of an attempt or kept by a replay.",
        broken="""
            SELECT a.step_run_id || '#' || a.number FROM executions_attempt a
            LEFT JOIN executions_effect e ON e.step_run_id = a.step_run_id
            WHERE a.intent_at IS NOT NULL AND e.id IS NULL
            UNION ALL
            SELECT a.step_run_id || '#' || a.number FROM executions_attempt a
            JOIN executions_steprun s ON s.id = a.step_run_id
            WHERE a.outcome = 'unknown' AND a.intent_at IS NULL AND s.lane <> 'fast'
            UNION ALL
            SELECT 'effect ' || e.id FROM executions_effect e
            LEFT JOIN executions_attempt a ON a.step_run_id = e.step_run_id AND a.fence = e.fence
              AND a.intent_at IS NOT NULL
            WHERE a.number IS NULL AND NOT (e.fence = 0 AND EXISTS (
              SELECT 1 FROM executions_run r WHERE r.id = e.scope AND r.replay_of_id IS NOT NULL))""",
    ),
    Invariant(
        name="no-intent-after-decision",
        number="I18",
        subject=Subject.ATTEMPTS,
        says="No attempt commits an intent after its effect is decided, so nothing is sent again.",
        broken="""
            SELECT a.step_run_id || '#' || a.number FROM executions_effect e
            JOIN executions_attempt a ON a.step_run_id = e.step_run_id AND a.intent_at > e.decided_at""",
    ),
    Invariant(
        name="abandoned-means-not-sent",
        subject=Subject.EFFECTS,
        says="An effect is abandoned only if no attempt may have had it: none unknown, none lost after its intent, "
        "and its key not one that a replay kept because it may have been used.",
        broken="""
            SELECT e.id FROM executions_effect e JOIN executions_attempt a ON a.step_run_id = e.step_run_id
            WHERE e.status = 'abandoned'
              AND (a.outcome = 'unknown' OR (a.outcome = 'lost' AND a.intent_at IS NOT NULL))
            UNION ALL
            SELECT e.id FROM executions_effect e JOIN executions_run r ON r.id = e.scope
            JOIN executions_effect o ON o.scope = r.replay_of_id AND o.key = e.key
            WHERE e.status = 'abandoned'""",
    ),
    Invariant(
        name="effects-decided",
        number="I17",
        subject=Subject.EFFECTS,
        says="The effect of a step that has ended, and whose lease and margin are over, is decided.",
        broken="""
            SELECT e.id FROM executions_effect e JOIN executions_steprun s ON s.id = e.step_run_id
            WHERE e.status = 'intent' AND s.status = ANY (%(ended_steps)s::text[])
              AND coalesce(s.lease_expires_at, '-infinity') < now() - make_interval(secs => %(margin)s::float8)""",
        only_quiesced=True,
    ),
)
