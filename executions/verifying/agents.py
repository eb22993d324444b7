"""Agents: what they did stands in the order in which it happened, under the attempts that did it, and agrees with the rest."""

from __future__ import annotations

from executions.verifying.invariant import Invariant, Subject

INVARIANTS = (
    Invariant(
        name="turns-numbered",
        subject=Subject.TURNS,
        says="The turns of a step are 1, 2, 3 … without gap and the first is an answer of its model; the keys of answers and of "
        "calls count from 1, each, but for those of requests that a replay sends again.",
        broken="""
            SELECT id FROM (
              SELECT t.id, t.number, t.kind, t.key, t.asked, s.run_id, s.key AS step,
                row_number() OVER (PARTITION BY t.step_run_id ORDER BY t.number) AS place,
                row_number() OVER (PARTITION BY t.step_run_id, t.kind ORDER BY t.number) AS nth
              FROM executions_agentturn t JOIN executions_steprun s ON s.id = t.step_run_id) x
            WHERE number <> place OR (place = 1 AND kind <> 'model')
              OR (key <> run_id || ':' || step || CASE kind WHEN 'model' THEN ':turn_' ELSE ':call_' END || nth
                AND NOT (asked->'request' IS NOT NULL AND starts_with(key, run_id::text) IS FALSE
                  AND EXISTS (SELECT 1 FROM executions_run r WHERE r.id = x.run_id AND r.replay_of_id IS NOT NULL)))""",
    ),
    Invariant(
        name="one-request-per-call",
        subject=Subject.TURNS,
        says="Whatever an agent sends under one key is the same request, also in replays.",
        broken="""
            SELECT min(id) FROM executions_agentturn WHERE asked->'request' IS NOT NULL
            GROUP BY key HAVING count(DISTINCT asked->'request') > 1""",
    ),
    Invariant(
        name="calls-as-wanted",
        subject=Subject.TURNS,
        says="Every tool call is one that the answer before it wanted, made once.",
        broken="""
            SELECT min(t.id) FROM executions_agentturn t
            LEFT JOIN LATERAL (
              SELECT m.number, m.answer FROM executions_agentturn m
              WHERE m.step_run_id = t.step_run_id AND m.kind = 'model' AND m.number < t.number
              ORDER BY m.number DESC LIMIT 1) m ON true
            WHERE t.kind = 'tool'
            GROUP BY t.step_run_id, m.number, t.asked->>'id'
            HAVING count(*) > 1 OR bool_or(m.number IS NULL OR NOT EXISTS (
              SELECT 1 FROM jsonb_array_elements(m.answer->'calls') c
              WHERE c->>'id' = t.asked->>'id' AND c->>'name' = t.name))""",
    ),
    Invariant(
        name="turns-finished-in-order",
        subject=Subject.TURNS,
        says="Only the last turn of a step can be unfinished, it is a tool call whose request is frozen, and the step has not "
        "completed; no turn ends after its step.",
        broken="""
            SELECT t.id FROM executions_agentturn t JOIN executions_steprun s ON s.id = t.step_run_id
            WHERE t.finished_at > s.finished_at
              OR (t.finished_at IS NULL AND (t.kind <> 'tool' OR t.asked->'request' IS NULL OR s.status = 'completed'
                OR EXISTS (SELECT 1 FROM executions_agentturn x
                           WHERE x.step_run_id = t.step_run_id AND x.number > t.number)))""",
    ),
    Invariant(
        name="turns-under-their-attempt",
        subject=Subject.TURNS,
        says="Every turn was written by an attempt of its step, under the fence of that, after the intent was committed.",
        broken="""
            SELECT t.id FROM executions_agentturn t
            LEFT JOIN executions_attempt a ON a.step_run_id = t.step_run_id AND a.number = t.attempt
              AND a.fence = t.fence AND a.intent_at IS NOT NULL
            WHERE a.number IS NULL""",
    ),
    Invariant(
        name="acted-is-not-abandoned",
        subject=Subject.EFFECTS,
        says="The effect of an agent that has done something is not abandoned.",
        broken="""
            SELECT e.id FROM executions_effect e WHERE e.status = 'abandoned'
              AND EXISTS (SELECT 1 FROM executions_agentturn t WHERE t.step_run_id = e.step_run_id)""",
    ),
    Invariant(
        name="refusals-told",
        subject=Subject.STEPS,
        says="A run's timeline tells as many refusals as its agents met.",
        broken="""
            SELECT s.id FROM executions_steprun s
            JOIN (SELECT step_run_id, count(*) FILTER (WHERE error_code = 'ai.permission_denied') AS refused
                  FROM executions_agentturn GROUP BY step_run_id) t ON t.step_run_id = s.id
            WHERE t.refused <> (SELECT count(*) FROM executions_timelineentry e WHERE e.run_id = s.run_id
              AND e.step_key = s.key AND e.metadata->>'error_code' = 'ai.permission_denied' AND e.type = 'step.logged')""",
    ),
    Invariant(
        name="usage-adds-up",
        subject=Subject.STEPS,
        says="The output of a completed agent tells as many turns, calls, tokens and dollars as its journal has.",
        broken="""
            SELECT s.id FROM executions_steprun s
            JOIN (SELECT step_run_id, count(*) FILTER (WHERE kind = 'model') AS turns,
                    count(*) FILTER (WHERE kind = 'tool') AS calls, sum(input_tokens) AS input, sum(output_tokens) AS output,
                    coalesce(sum(cost), 0) AS cost
                  FROM executions_agentturn GROUP BY step_run_id) t ON t.step_run_id = s.id
            WHERE s.status = 'completed' AND (s.output->'usage' @> jsonb_build_object('turns', t.turns, 'tool_calls', t.calls,
                'input_tokens', t.input, 'output_tokens', t.output) IS NOT TRUE
              OR abs(coalesce((s.output->'usage'->>'cost')::numeric, 0) - t.cost) > 0.000001)""",
    ),
    Invariant(
        name="within-its-limits",
        subject=Subject.STEPS,
        says="No agent has more answers and calls than its frozen limits allow, however many attempts it took.",
        broken="""
            SELECT s.id FROM executions_steprun s
            JOIN (SELECT step_run_id, count(*) FILTER (WHERE kind = 'model') AS turns, count(*) FILTER (WHERE kind = 'tool') AS calls
                  FROM executions_agentturn GROUP BY step_run_id) t ON t.step_run_id = s.id
            JOIN executions_effect e ON e.step_run_id = s.id
            WHERE t.turns > (e.request->'limits'->>'turns')::int OR t.calls > (e.request->'limits'->>'tool_calls')::int""",
    ),
    Invariant(
        name="calls-made-before-the-next-answer",
        subject=Subject.TURNS,
        says="Every call that an answer wanted stands in the journal before the next answer, but for those that give the output.",
        broken="""
            SELECT m.id FROM executions_agentturn m
            CROSS JOIN LATERAL (
              SELECT min(n.number) AS number FROM executions_agentturn n
              WHERE n.step_run_id = m.step_run_id AND n.kind = 'model' AND n.number > m.number) n
            CROSS JOIN LATERAL jsonb_array_elements(m.answer->'calls') c
            WHERE m.kind = 'model' AND n.number IS NOT NULL AND c->>'name' <> 'final_output'
              AND NOT EXISTS (SELECT 1 FROM executions_agentturn t
                WHERE t.step_run_id = m.step_run_id AND t.kind = 'tool' AND t.number > m.number AND t.number < n.number
                  AND t.asked->>'id' = c->>'id')""",
    ),
)
