"""What sets runs off: deliveries, changes of records, events and the ticks of schedules."""

from __future__ import annotations

from tests.integration.verify_plants.plant import COMPLETED_RUN, Plant

MISSED = "kind = 'schedule' AND config->>'missed'"

PLANTS = [
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
]
