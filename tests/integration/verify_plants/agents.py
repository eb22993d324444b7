"""The turns of agents."""

from __future__ import annotations

from tests.integration.verify_plants.plant import Plant

PLANTS = [
    Plant("turns-numbered", "DELETE FROM executions_agentturn WHERE number = 2"),
    Plant("turns-numbered", "UPDATE executions_agentturn SET key = key || '0' WHERE kind = 'tool'"),
    Plant("turns-numbered", "UPDATE executions_agentturn SET kind = 'tool' WHERE number = 1"),
    Plant("calls-as-wanted", "UPDATE executions_agentturn SET name = 'rm' WHERE number = 2"),
    Plant(
        "calls-as-wanted",
        'UPDATE executions_agentturn SET asked = asked || \'{"id": "c1"}\' WHERE number = 3',
    ),
    Plant(
        "one-request-per-call",
        "UPDATE executions_agentturn SET key = 'k', asked = asked || jsonb_build_object('request', id) WHERE number = 4",
    ),
    Plant("turns-finished-in-order", "UPDATE executions_agentturn SET finished_at = NULL WHERE number = 4"),
    Plant(
        "turns-finished-in-order",
        "UPDATE executions_agentturn SET finished_at = now() + interval '1 day' WHERE number = 4",
    ),
    Plant("turns-under-their-attempt", "UPDATE executions_agentturn SET fence = 7 WHERE number = 1"),
    Plant("turns-under-their-attempt", "UPDATE executions_agentturn SET attempt = 7 WHERE number = 1"),
    Plant(
        "acted-is-not-abandoned",
        "UPDATE executions_effect SET status = 'abandoned' "
        "WHERE step_run_id = (SELECT min(step_run_id) FROM executions_agentturn)",
    ),
    Plant(
        "refusals-told",
        "DELETE FROM executions_timelineentry WHERE metadata->>'error_code' = 'ai.permission_denied' AND attempt = 1",
    ),
    Plant("usage-adds-up", "UPDATE executions_agentturn SET input_tokens = 7 WHERE number = 1"),
    Plant("usage-adds-up", "UPDATE executions_agentturn SET cost = 0.5 WHERE number = 1"),
    Plant(
        "within-its-limits",
        "UPDATE executions_effect SET request = jsonb_set(request, '{limits,turns}', '1') WHERE request ? 'limits'",
    ),
    Plant(
        "within-its-limits",
        "UPDATE executions_effect SET request = jsonb_set(request, '{limits,tool_calls}', '1') WHERE request ? 'limits'",
    ),
    Plant(
        "calls-made-before-the-next-answer",
        'UPDATE executions_agentturn SET asked = asked || \'{"id": "another"}\' WHERE number = 2',
    ),
]
