"""Attempts, and the effects that they had."""

from __future__ import annotations

from tests.integration.verify_plants.plant import COMPLETED_SLOW, RETRIED, WRITTEN, Plant, step_with

PLANTS = [
    # --- attempts
    Plant("attempts-counted", f"UPDATE executions_steprun SET attempts = 2 WHERE id = {COMPLETED_SLOW}"),
    Plant("attempts-counted", f"DELETE FROM executions_attempt WHERE step_run_id = {RETRIED} AND number = 2"),
    Plant(
        "attempts-counted",
        f"UPDATE executions_attempt SET number = number + 1 WHERE step_run_id = {COMPLETED_SLOW}",
    ),
    Plant(
        "attempts-within-limit",
        "UPDATE executions_steprun SET max_attempts = 2 WHERE attempts = 3 AND lost = 0",
    ),
    Plant("losses-counted", "UPDATE executions_steprun SET lost = lost + 1 WHERE lost > 0"),
    Plant(
        "losses-counted",
        "UPDATE executions_attempt SET alone = true, witnessed = true WHERE outcome = 'lost'",
    ),
    Plant("losses-counted", "UPDATE executions_attempt SET witnessed = false WHERE outcome = 'lost'"),
    Plant("holds-counted", "UPDATE executions_steprun SET held = 1 WHERE attempts >= 3"),
    Plant("holds-counted", "UPDATE executions_steprun SET held_host = 'http://a' WHERE status = 'queued'"),
    Plant("holds-counted", "UPDATE executions_steprun SET held_host = 'http://a' WHERE status = 'waiting'"),
    Plant(
        "blamed-with-reason",
        "UPDATE executions_steprun SET lost_alone = 2 WHERE error_code = 'step.worker_lost'",
    ),
    Plant(
        "blamed-with-reason",
        "UPDATE executions_steprun SET lost_alone = 2, lost = 10 WHERE error_code = 'step.worker_lost'; "
        "UPDATE executions_attempt SET alone = false WHERE outcome = 'lost'",
    ),
    Plant("one-success", f"UPDATE executions_attempt SET outcome = 'ok' WHERE step_run_id = {RETRIED}"),
    Plant(
        "one-success",
        f"UPDATE executions_attempt SET outcome = 'refused' WHERE step_run_id = {COMPLETED_SLOW}",
    ),
    Plant("one-success", f"UPDATE executions_steprun SET status = 'cancelled' WHERE id = {COMPLETED_SLOW}"),
    Plant(
        "open-attempt-is-running",
        f"UPDATE executions_attempt SET outcome = NULL WHERE step_run_id = {COMPLETED_SLOW}",
    ),
    Plant(
        "open-attempt-is-running",
        f"UPDATE executions_attempt SET outcome = NULL WHERE step_run_id = {RETRIED} AND number = 1",
    ),
    Plant("open-attempt-is-running", "UPDATE executions_attempt SET outcome = 'lost' WHERE outcome IS NULL"),
    Plant(
        "open-attempt-is-running", "UPDATE executions_steprun SET fence = fence + 1 WHERE status = 'running'"
    ),
    Plant(
        "attempt-end-recorded",
        f"UPDATE executions_attempt SET finished_at = NULL WHERE step_run_id = {COMPLETED_SLOW}",
    ),
    Plant(
        "attempt-end-recorded", "UPDATE executions_attempt SET error_code = NULL WHERE outcome = 'refused'"
    ),
    Plant(
        "attempt-end-recorded",
        "UPDATE executions_attempt SET error_code = 'step.timeout' WHERE outcome = 'ok'",
    ),
    Plant(
        "attempt-end-recorded",
        "UPDATE executions_attempt SET outcome = 'cancelled' WHERE outcome = 'unknown'",
    ),
    Plant("fences-rise", f"UPDATE executions_attempt SET fence = 1 WHERE step_run_id = {RETRIED}"),
    Plant(
        "fences-rise", f"UPDATE executions_attempt SET fence = 9 WHERE step_run_id = {RETRIED} AND number = 3"
    ),
    Plant("fences-rise", f"UPDATE executions_attempt SET fence = 0 WHERE step_run_id = {COMPLETED_SLOW}"),
    *(
        Plant(
            "codes-catalogued", f"UPDATE {table} SET error_code = 'step.mystery' WHERE error_code IS NOT NULL"
        )
        for table in ("triggers_outboxevent", "executions_run", "executions_steprun", "executions_attempt")
    ),
    # --- effects
    Plant("effect-key-once", "UPDATE executions_effect SET scope = uuid_v7() WHERE status = 'abandoned'"),
    Plant(
        "effect-key-once",
        "INSERT INTO executions_effect (scope, key, step_run_id, fence, status, request, request_digest, created_at, "
        "decided_at) SELECT scope, key, step_run_id, fence, status, request, request_digest, created_at, decided_at "
        "FROM executions_effect WHERE status = 'done'",
    ),
    Plant(
        "one-request-per-key",
        "UPDATE executions_effect e SET request_digest = '\\x00' FROM executions_run r WHERE r.id = e.scope "
        "AND r.generation = 1 AND e.status = 'unknown'",
    ),
    Plant(
        "effect-decided-after-its-step",
        "UPDATE executions_effect SET status = 'done', decided_at = now() WHERE step_run_id = "
        + step_with("s.status = 'running'"),
    ),
    Plant(
        "effect-decided-after-its-step",
        "UPDATE executions_effect SET decided_at = NULL WHERE status = 'unknown'",
    ),
    Plant(
        "completed-step-has-done-effect",
        f"DELETE FROM executions_effect WHERE step_run_id = {COMPLETED_SLOW}",
    ),
    Plant(
        "completed-step-has-done-effect",
        f"UPDATE executions_effect SET status = 'unknown' WHERE step_run_id = {COMPLETED_SLOW}",
    ),
    Plant("completed-step-has-done-effect", f"DELETE FROM executions_effect WHERE step_run_id = {WRITTEN}"),
    Plant(
        "written-with-its-step",
        f"UPDATE executions_effect SET status = 'unknown' WHERE step_run_id = {WRITTEN}",
    ),
    Plant("written-with-its-step", f"UPDATE executions_steprun SET status = 'failed' WHERE id = {WRITTEN}"),
    Plant(
        "written-with-its-step",
        f"UPDATE executions_effect SET decided_at = now() + interval '1 hour' WHERE step_run_id = {WRITTEN}",
    ),
    Plant(
        "written-with-its-step",
        f'UPDATE executions_steprun SET output = output || \'{{"id": "another"}}\' WHERE id = {WRITTEN}',
    ),
    Plant(
        "record-created-once",
        "UPDATE executions_effect SET answer = answer || '{\"id\": \"one\"}' WHERE answer->'created' = 'true'",
    ),
    Plant("intent-before-send", f"DELETE FROM executions_effect WHERE step_run_id = {COMPLETED_SLOW}"),
    Plant("intent-before-send", "UPDATE executions_attempt SET intent_at = NULL WHERE outcome = 'unknown'"),
    Plant(
        "intent-before-send", f"UPDATE executions_effect SET fence = 0 WHERE step_run_id = {COMPLETED_SLOW}"
    ),
    Plant("intent-before-send", "UPDATE executions_effect SET fence = fence + 1 WHERE status = 'done'"),
    Plant(
        "no-intent-after-decision",
        f"UPDATE executions_attempt SET intent_at = now() + interval '1 hour' WHERE step_run_id = {COMPLETED_SLOW}",
    ),
    Plant(
        "abandoned-means-not-sent",
        "UPDATE executions_effect SET status = 'abandoned' WHERE status = 'unknown'",
    ),
    Plant(
        "abandoned-means-not-sent",
        "UPDATE executions_effect e SET status = 'abandoned' FROM executions_run r WHERE r.id = e.scope "
        "AND r.generation = 2 AND e.status = 'unknown'",
    ),
    Plant(
        "effects-decided",
        "UPDATE executions_steprun SET lease_expires_at = now() - interval '1 minute' WHERE status = 'cancelled'",
    ),
]
