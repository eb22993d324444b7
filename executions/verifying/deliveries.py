"""Deliveries: what was told to a sender is what became of the request."""

from __future__ import annotations

from executions.verifying.invariant import Invariant, Subject

INVARIANTS = (
    Invariant(
        name="accepted-delivery-has-event",
        number="I2",
        subject=Subject.DELIVERIES,
        says="Every delivery that was answered with 2xx has its event, of the same workflow and trigger; a row that counts "
        "many names none.",
        broken="""
            SELECT d.id FROM triggers_delivery d
            LEFT JOIN triggers_outboxevent e
              ON e.id = d.event_id AND e.workflow_id = d.workflow_id AND e.trigger_id = d.trigger_id
            WHERE d.answer BETWEEN 200 AND 299 AND d.minute IS NULL AND e.id IS NULL""",
    ),
    Invariant(
        name="event-accepted-once",
        subject=Subject.DELIVERIES,
        says="An event has at most one delivery that was accepted.",
        broken="""
            SELECT min(id::text COLLATE "C") FROM triggers_delivery WHERE verdict = 'accepted'
            GROUP BY event_id HAVING count(*) > 1""",
    ),
    Invariant(
        name="verdict-fits-answer",
        subject=Subject.DELIVERIES,
        says="A delivery's verdict is told by its answer: accepted 202, duplicate 200, body mismatch 409, throttled 429, "
        "malformed any other 4xx, all others 404; the first three name an event and the others none.",
        broken="""
            SELECT id FROM triggers_delivery WHERE answer IS DISTINCT FROM CASE verdict
                WHEN 'accepted' THEN 202 WHEN 'duplicate' THEN 200 WHEN 'body_mismatch' THEN 409 WHEN 'throttled' THEN 429
                WHEN 'malformed' THEN CASE WHEN answer BETWEEN 400 AND 499 THEN answer END ELSE 404 END
              OR (minute IS NULL AND (verdict IN ('accepted', 'duplicate', 'body_mismatch')) <> (event_id IS NOT NULL))""",
    ),
    Invariant(
        name="delivery-of-its-trigger",
        subject=Subject.DELIVERIES,
        says="A delivery's trigger belongs to its workflow; it is marked as a test if and only if its event is one.",
        broken="""
            SELECT d.id FROM triggers_delivery d
            LEFT JOIN triggers_trigger t ON t.id = d.trigger_id AND t.workflow_id = d.workflow_id
            LEFT JOIN triggers_outboxevent e ON e.id = d.event_id
            WHERE t.id IS NULL OR (e.id IS NOT NULL AND d.is_test <> (e.source = 'test'))""",
    ),
)
