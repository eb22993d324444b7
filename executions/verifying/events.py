"""Events: captured once, decided once, each dispatched one with its run."""

from __future__ import annotations

from executions.verifying.invariant import Invariant, Subject

INVARIANTS = (
    Invariant(
        name="event-key-once",
        number="I4",
        subject=Subject.EVENTS,
        says="A trigger has at most one event under one source and idempotency key.",
        broken="""
            SELECT min(id::text COLLATE "C") FROM triggers_outboxevent WHERE idempotency_key IS NOT NULL
            GROUP BY trigger_id, source, idempotency_key HAVING count(*) > 1""",
    ),
    Invariant(
        name="event-belongs-to-its-workflow",
        number="I9",
        subject=Subject.EVENTS,
        says="An event, its trigger and the version pinned at its capture belong to one workflow.",
        broken="""
            SELECT e.id FROM triggers_outboxevent e
            LEFT JOIN triggers_trigger t ON t.id = e.trigger_id AND t.workflow_id = e.workflow_id
            LEFT JOIN workflows_workflowversion v ON v.id = e.version_id AND v.workflow_id = e.workflow_id
            WHERE t.id IS NULL OR v.id IS NULL""",
    ),
    Invariant(
        name="record-event-as-asked",
        number="I9",
        subject=Subject.EVENTS,
        says="An event of a record tells what the version pinned at its capture asked for: a record of that kind, new or "
        "changed, and in one of the fields it named.",
        broken="""
            SELECT e.id FROM triggers_outboxevent e JOIN workflows_workflowversion v ON v.id = e.version_id
            CROSS JOIN LATERAL (SELECT v.definition #> '{trigger,config}' AS asked) a
            WHERE e.source = 'record' AND (
              v.definition #>> '{trigger,type}' IS DISTINCT FROM 'record'
              OR a.asked ->> 'entity' IS DISTINCT FROM e.payload ->> 'type'
              OR (a.asked ->> 'event' = 'updated') IS DISTINCT FROM (e.payload ? '_diff')
              OR (jsonb_array_length(coalesce(a.asked -> 'fields', '[]')) > 0 AND NOT EXISTS (
                SELECT 1 FROM jsonb_array_elements_text(a.asked -> 'fields') f WHERE e.payload -> '_diff' ? f)))""",
    ),
    Invariant(
        name="event-status-known",
        subject=Subject.EVENTS,
        says="An event is pending, dispatched, ignored or poison.",
        broken="""
            SELECT id FROM triggers_outboxevent WHERE status NOT IN ('pending', 'dispatched', 'ignored', 'poison')""",
    ),
    Invariant(
        name="event-decision-recorded",
        subject=Subject.EVENTS,
        says="An event has its instant of decision once it is not pending, and a code if it was ignored or poisoned.",
        broken="""
            SELECT id FROM triggers_outboxevent
            WHERE (status <> 'pending') <> (decided_at IS NOT NULL)
              OR (status IN ('ignored', 'poison')) <> (error_code IS NOT NULL)""",
    ),
    Invariant(
        name="dispatched-event-has-run",
        number="I6",
        subject=Subject.EVENTS,
        says="A dispatched event has at least one run.",
        broken="""
            SELECT e.id FROM triggers_outboxevent e
            WHERE e.status = 'dispatched' AND NOT EXISTS (SELECT 1 FROM executions_run r WHERE r.event_id = e.id)""",
    ),
    Invariant(
        name="run-has-dispatched-event",
        number="I8",
        subject=Subject.RUNS,
        says="A run has an event, and that event is dispatched: pending, ignored and poisoned ones have no run.",
        broken="""
            SELECT r.id FROM executions_run r
            LEFT JOIN triggers_outboxevent e ON e.id = r.event_id AND e.status = 'dispatched' WHERE e.id IS NULL""",
    ),
    Invariant(
        name="poison-after-three-tries",
        number="I26",
        subject=Subject.EVENTS,
        says="An event is poison only after three dispatches of it alone have failed.",
        broken="SELECT id FROM triggers_outboxevent WHERE status = 'poison' AND tries < %(most_tries)s::int",
    ),
    Invariant(
        name="event-continues-its-cause",
        subject=Subject.EVENTS,
        says="An event that a run led to carries that run's trace id and lies one deeper than the run's own event.",
        broken="""
            SELECT e.id FROM triggers_outboxevent e JOIN executions_run c ON c.id = e.caused_by
            JOIN triggers_outboxevent o ON o.id = c.event_id
            WHERE (e.trace_id, e.depth) IS DISTINCT FROM (c.trace_id, o.depth + 1)""",
    ),
    Invariant(
        name="own-change-starts-no-run",
        subject=Subject.EVENTS,
        says="A workflow's own change became a run only if the pinned version has `own_changes`; no other event is ignored for it.",
        broken="""
            SELECT e.id FROM triggers_outboxevent e JOIN executions_run c ON c.id = e.caused_by
            JOIN workflows_workflowversion v ON v.id = e.version_id CROSS JOIN LATERAL (
              SELECT c.workflow_id = e.workflow_id AND v.definition #> '{trigger,config,own_changes}'
                IS DISTINCT FROM 'true' AS is_unwanted) own
            WHERE (own.is_unwanted AND e.status = 'dispatched')
              OR (e.error_code = 'trigger.own_change' AND NOT own.is_unwanted)""",
    ),
    Invariant(
        name="events-decided",
        number="I5",
        subject=Subject.EVENTS,
        says="No event is pending.",
        broken="SELECT id FROM triggers_outboxevent WHERE status = 'pending'",
        only_quiesced=True,
    ),
)
