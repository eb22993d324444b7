"""For every invariant, rows that contradict it: `verify` must find them under that invariant's name.

The database refuses most of these rows. Inside one transaction, rolled back at the end, everything that it
refuses them by is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection, transaction

from executions.verifying import running
from lightfield.kernel import bells
from tests.bellboy import Bellboy
from tests.integration.verify_world import World
from tests.scripted import installed

# pytest-django makes a test database only if a test is marked; without the mark this would be the real one.
pytestmark = pytest.mark.django_db

TABLES = [
    "executions_timelineentry",
    "executions_effect",
    "executions_attempt",
    "executions_steprun",
    "executions_run",
    "triggers_delivery",
    "triggers_outboxevent",
    "triggers_trigger",
    "workflows_workflow",
    "workflows_workflowversion",
    "access_auditentry",
    "access_credential",
    "crm_account",
    "crm_opportunity",
    "crm_contact",
    "triggers_uncapturedwrite",
]

UNGUARD = """
SET CONSTRAINTS ALL IMMEDIATE;
DO $$
DECLARE found record;
BEGIN
  FOR found IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint
    WHERE contype IN ('c', 'u', 'f') AND conrelid::regclass::text ~ '^(executions|triggers|workflows)_'
  LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.owner, found.conname); END LOOP;
  FOR found IN SELECT DISTINCT tgrelid::regclass AS owner FROM pg_trigger
    WHERE NOT tgisinternal AND tgrelid::regclass::text ~ '^(executions|triggers|workflows)_'
  LOOP EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', found.owner); END LOOP;
  DROP INDEX step_live_once, event_key_once;
END $$
"""


@pytest.fixture(scope="module", autouse=True)
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Runs in every status, made once and committed; then a transaction without guards, never committed."""
    assert str(connection.settings_dict["NAME"]).startswith("test_")
    boy = Bellboy()
    before = bells.use(boy)
    with django_db_blocker.unblock(), installed("slow") as slow_step:
        try:
            made = World(boy, slow_step)
            made.make_ended()
            made.make_in_flight()
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(UNGUARD)
                yield  # each test is a savepoint, rolled back by pytest-django
                transaction.set_rollback(True)
        finally:
            bells.use(before)
            with connection.cursor() as cursor:
                cursor.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")


@dataclass(frozen=True)
class Plant:
    """SQL after which the rows contradict an invariant."""

    invariant: str
    sql: str


def run_with(condition: str) -> str:
    return f"(SELECT r.id FROM executions_run r WHERE {condition} ORDER BY r.id LIMIT 1)"


def step_with(condition: str) -> str:
    return f"(SELECT s.id FROM executions_steprun s WHERE {condition} ORDER BY s.id LIMIT 1)"


def after_the_queued_step(status: str) -> str:
    return (
        "INSERT INTO executions_steprun (run_id, workflow_id, position, key, type, lane, max_attempts, status, fence, "
        "attempts, lost, lost_alone, quarantined, owner, due_at, rings, reused) SELECT run_id, workflow_id, "
        f"position + 1, 'next', type, lane, 5, '{status}', 0, 0, 0, 0, false, '', now(), 0, false "
        "FROM executions_steprun WHERE status = 'queued'"
    )


COMPLETED_RUN = run_with("r.status = 'completed' AND r.generation = 1 AND r.seq > 5")
WRITTEN = step_with("s.type = 'update_record' AND s.status = 'completed' AND NOT s.reused")
COMPLETED_SLOW = step_with("s.status = 'completed' AND s.lane = 'http' AND NOT s.reused AND s.attempts = 1")
RETRIED = step_with("s.status = 'completed' AND s.attempts >= 3 AND s.lost = 0")

MISSED = "kind = 'schedule' AND config->>'missed'"

A_SECRET = (
    "INSERT INTO access_credential (id, name, description, hosts, ciphertext, last4, created_by, updated_by) "
    "VALUES (gen_random_uuid(), 'a', '', '[]', '{}', '', '', '')"
)

PLANTS = [
    # --- secrets
    Plant("sealed-opens", A_SECRET.format("lf1.gone.AAAA")),
    Plant("sealed-opens", A_SECRET.format("plain text")),
    Plant(
        "sealed-opens",
        "UPDATE triggers_trigger SET token_ciphertext = overlay(token_ciphertext PLACING 'xx' FROM 30)",
    ),
    # --- workflows and versions
    Plant(
        "version-unchanged",
        "UPDATE workflows_workflowversion SET definition = jsonb_set(definition, '{name}', '\"x\"')",
    ),
    Plant("version-unchanged", "UPDATE workflows_workflowversion SET checksum = repeat('0', 64)"),
    Plant(
        "plan-follows-definition",
        "UPDATE workflows_workflowversion SET plan = plan || plan WHERE plan <> '[]'",
    ),
    Plant("plan-follows-definition", "UPDATE workflows_workflowversion SET timeout_seconds = 5"),
    Plant("versions-numbered", "UPDATE workflows_workflowversion SET number = 3"),
    Plant(
        "versions-numbered",
        "UPDATE workflows_workflow SET active_version_id = (SELECT max(id) FROM workflows_workflowversion)",
    ),
    Plant("versions-numbered", "DELETE FROM triggers_trigger"),
    Plant("trigger-follows-version", "UPDATE triggers_trigger SET kind = 'manual' WHERE kind = 'webhook'"),
    Plant(
        "trigger-follows-version",
        "UPDATE triggers_trigger SET config = jsonb_set(config, '{entity}', '\"contact\"') WHERE kind = 'record'",
    ),
    Plant("trigger-follows-version", "UPDATE triggers_trigger SET signing = 'stripe' WHERE kind = 'webhook'"),
    Plant("trigger-follows-version", "UPDATE workflows_workflow SET active_version_id = NULL"),
    Plant(
        "versions-numbered",
        "UPDATE workflows_workflow SET active_version_id = (SELECT max(id) FROM workflows_workflowversion WHERE is_test) "
        "WHERE id = (SELECT workflow_id FROM workflows_workflowversion WHERE is_test)",
    ),
    Plant("test-stays-a-test", "UPDATE triggers_outboxevent SET source = 'manual' WHERE source = 'test'"),
    Plant("test-stays-a-test", "UPDATE triggers_outboxevent SET source = 'test' WHERE source = 'webhook'"),
    # --- deliveries
    Plant("accepted-delivery-has-event", "UPDATE triggers_delivery SET event_id = NULL WHERE answer = 202"),
    Plant("accepted-delivery-has-event", "UPDATE triggers_delivery SET event_id = id WHERE answer = 200"),
    Plant(
        "accepted-delivery-has-event",
        "UPDATE triggers_delivery SET trigger_id = (SELECT max(id) FROM triggers_trigger)",
    ),
    Plant(
        "event-accepted-once", "UPDATE triggers_delivery SET verdict = 'accepted' WHERE verdict = 'duplicate'"
    ),
    Plant("verdict-fits-answer", "UPDATE triggers_delivery SET answer = 404 WHERE verdict = 'accepted'"),
    Plant("verdict-fits-answer", "UPDATE triggers_delivery SET answer = 503 WHERE verdict = 'malformed'"),
    Plant("verdict-fits-answer", "UPDATE triggers_delivery SET event_id = id WHERE verdict = 'malformed'"),
    Plant(
        "delivery-of-its-trigger",
        "UPDATE triggers_delivery SET workflow_id = (SELECT id FROM workflows_workflow ORDER BY id LIMIT 1)",
    ),
    Plant("delivery-of-its-trigger", "UPDATE triggers_delivery SET is_test = NOT is_test"),
    # --- records
    Plant(
        "changes-captured",
        "INSERT INTO triggers_uncapturedwrite (entity, operation, rows) VALUES ('account', 'UPDATE', 1)",
    ),
    Plant("changes-captured", "UPDATE crm_opportunity SET stage = 'past Django'"),
    Plant("capture-installed", "DROP TRIGGER lightfield_seen_insert ON crm_account"),
    Plant("capture-installed", "ALTER TABLE crm_account DISABLE TRIGGER lightfield_seen_update"),
    # --- events
    Plant(
        "event-key-once",
        "UPDATE triggers_outboxevent SET idempotency_key = 'same', source = 'webhook', "
        "trigger_id = (SELECT min(trigger_id) FROM triggers_outboxevent)",
    ),
    Plant("event-status-known", "UPDATE triggers_outboxevent SET status = 'pendng' WHERE status = 'pending'"),
    Plant(
        "event-belongs-to-its-workflow",
        "UPDATE triggers_outboxevent SET version_id = (SELECT max(id) FROM workflows_workflowversion)",
    ),
    Plant(
        "event-belongs-to-its-workflow",
        "UPDATE triggers_outboxevent SET trigger_id = (SELECT max(id) FROM triggers_trigger)",
    ),
    Plant(
        "record-event-as-asked", "UPDATE triggers_outboxevent SET source = 'record' WHERE source = 'webhook'"
    ),
    Plant(
        "record-event-as-asked",
        "UPDATE triggers_outboxevent SET payload = payload || '{\"type\": \"contact\"}' WHERE source = 'record'",
    ),
    Plant(
        "record-event-as-asked",
        "UPDATE triggers_outboxevent SET payload = payload - '_diff' WHERE payload ? '_diff'",
    ),
    Plant(
        "record-event-as-asked",
        "UPDATE triggers_outboxevent SET payload = jsonb_set(payload, '{_diff}', '{\"name\": {}}') WHERE payload ? '_diff'",
    ),
    Plant(
        "event-decision-recorded",
        "UPDATE triggers_outboxevent SET decided_at = NULL WHERE status = 'dispatched'",
    ),
    Plant(
        "event-decision-recorded",
        "UPDATE triggers_outboxevent SET error_code = NULL WHERE status = 'ignored'",
    ),
    Plant(
        "dispatched-event-has-run",
        "UPDATE triggers_outboxevent SET status = 'dispatched', decided_at = now() WHERE status = 'pending'",
    ),
    Plant(
        "run-has-dispatched-event",
        "UPDATE triggers_outboxevent SET status = 'ignored' "
        "WHERE id = (SELECT event_id FROM executions_run ORDER BY id LIMIT 1)",
    ),
    Plant(
        "run-has-dispatched-event",
        f"UPDATE executions_run SET event_id = uuid_v7() WHERE id = {COMPLETED_RUN}",
    ),
    Plant("poison-after-three-tries", "UPDATE triggers_outboxevent SET tries = 2 WHERE status = 'poison'"),
    Plant(
        "event-continues-its-cause", "UPDATE triggers_outboxevent SET depth = 0 WHERE caused_by IS NOT NULL"
    ),
    Plant(
        "event-continues-its-cause",
        "UPDATE triggers_outboxevent SET trace_id = repeat('b', 32) WHERE caused_by IS NOT NULL",
    ),
    Plant(
        "own-change-starts-no-run",
        "UPDATE triggers_outboxevent e SET caused_by = r.id FROM executions_run r "
        "WHERE e.caused_by IS NOT NULL AND e.status = 'dispatched' AND r.workflow_id = e.workflow_id",
    ),
    Plant(
        "own-change-starts-no-run",
        "UPDATE triggers_outboxevent SET error_code = 'trigger.own_change' WHERE error_code = 'workflow.archived'; "
        "UPDATE triggers_outboxevent e SET caused_by = r.id FROM executions_run r "
        "WHERE e.error_code = 'trigger.own_change' AND r.workflow_id <> e.workflow_id",
    ),
    Plant("events-decided", "SELECT 1"),  # one event is pending
    # --- schedules
    Plant("tick-once", "UPDATE triggers_tick SET due_at = '2026-01-01Z'"),
    Plant("tick-has-its-event", "UPDATE triggers_tick SET event_id = uuid_v7()"),
    Plant("tick-has-its-event", "UPDATE triggers_tick SET due_at = due_at + interval '1 second'"),
    Plant(
        "tick-has-its-event", "UPDATE triggers_outboxevent SET source = 'manual' WHERE source = 'schedule'"
    ),
    Plant("scheduled-event-has-tick", "DELETE FROM triggers_tick"),
    Plant(
        "ticks-as-scheduled",  # `all`: one in the middle is missing
        f"DELETE FROM triggers_tick t USING triggers_trigger r WHERE r.id = t.trigger_id AND {MISSED} = 'all' "
        "AND t.due_at = (SELECT min(due_at) + interval '20 minutes' FROM triggers_tick)",
    ),
    Plant(
        "ticks-as-scheduled",  # `latest`: the last one is missing
        f"DELETE FROM triggers_tick t USING triggers_trigger r WHERE r.id = t.trigger_id AND {MISSED} = 'latest'",
    ),
    Plant(
        "ticks-as-scheduled",  # fired at what is no instant
        "UPDATE triggers_tick SET due_at = due_at + interval '1 minute'",
    ),
    Plant(
        "ticks-as-scheduled",  # `none`: fired although it was late
        f"UPDATE triggers_trigger r SET config = jsonb_set(config, '{{missed}}', '\"none\"') WHERE {MISSED} = 'all'",
    ),
    Plant("schedules-go-on", f"UPDATE triggers_trigger SET next_due_at = NULL WHERE {MISSED} = 'all'"),
    Plant("schedules-go-on", "UPDATE triggers_trigger SET next_due_at = next_due_at - interval '2 days'"),
    Plant(
        "schedules-go-on",
        f"UPDATE triggers_trigger SET error_code = 'schedule.set_aside' WHERE {MISSED} = 'all'",
    ),
    Plant("schedules-go-on", f"UPDATE triggers_trigger SET settled_until = NULL WHERE {MISSED} = 'all'"),
    Plant(
        "schedules-go-on", f"UPDATE triggers_trigger SET config = '{{\"moon\": 1}}' WHERE {MISSED} = 'all'"
    ),
    Plant(
        "schedules-go-on",
        "UPDATE triggers_trigger SET next_due_at = now() + interval '1 day' WHERE next_due_at IS NULL",
    ),
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
    # --- timelines
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
    # --- agents
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
    # --- notices
    Plant("plan-follows-definition", "UPDATE workflows_workflowversion SET failure_channels = '{}'"),
    Plant(
        "run-ends-in-time", "UPDATE executions_run SET deadline_at = '2000-01-01' WHERE status = 'waiting'"
    ),
    Plant("run-ends-in-time", "UPDATE executions_run SET deadline_at = NULL WHERE status = 'waiting'"),
    Plant("failure-is-told", "DELETE FROM executions_notice WHERE channel = 'webhook'"),
    Plant(
        "failure-is-told",
        "UPDATE executions_notice SET run_id = (SELECT id FROM executions_run WHERE status = 'completed' LIMIT 1)",
    ),
    Plant("streak-as-its-version-says", "UPDATE executions_run SET in_streak = false"),
    Plant("notice-in-its-message", "UPDATE executions_notice SET message_id = NULL"),
    Plant("notice-in-its-message", "UPDATE executions_notice SET handled_at = NULL"),
    Plant("notice-in-its-message", "UPDATE executions_noticemessage SET channel = 'email'"),
    Plant("message-counts-its-runs", "UPDATE executions_noticemessage SET runs = runs + 1"),
    Plant("message-counts-its-runs", "UPDATE executions_noticemessage SET body = '{}'"),
    Plant(
        "notices-go-out",
        "UPDATE executions_notice SET handled_at = NULL, message_id = NULL, at = '2000-01-01'",
    ),
    Plant(
        "notices-go-out",
        "UPDATE executions_noticemessage SET status = 'pending', finished_at = NULL, created_at = '2000-01-01'",
    ),
    Plant("paused-for-a-reason", "UPDATE workflows_workflow SET paused_reason = 'workflow.failing'"),
    Plant("paused-for-a-reason", "UPDATE workflows_workflow SET paused_reason = 'tired', status = 'paused'"),
]


def found() -> dict[str, int]:
    return {finding.invariant.name: finding.broken for finding in running.check(running.INVARIANTS)}


def test_the_untouched_world_is_sound_but_for_what_is_in_flight() -> None:
    assert {name for name, broken in found().items() if broken} == {
        "events-decided",
        "runs-ended",
        "steps-ended",
    }


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.invariant)
def test_a_planted_violation_is_found_by_its_invariant(plant: Plant) -> None:
    with connection.cursor() as cursor:
        cursor.execute(plant.sql)

    assert found()[plant.invariant] > 0


def test_every_invariant_has_a_planted_violation() -> None:
    assert {plant.invariant for plant in PLANTS} == {invariant.name for invariant in running.INVARIANTS}
