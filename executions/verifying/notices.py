"""Failures and whom they are told to: nothing that failed is left untold, and what was told is on record."""

from __future__ import annotations

from executions.verifying.invariant import Invariant, Subject

INVARIANTS = (
    Invariant(
        name="failure-is-told",
        subject=Subject.RUNS,
        says="A failed run has a notice for each channel of its version; no other run has any.",
        broken="""
            SELECT r.id FROM executions_run r JOIN workflows_workflowversion v ON v.id = r.version_id
            LEFT JOIN (SELECT run_id, array_agg(channel::text ORDER BY channel::text) AS told
                       FROM executions_notice GROUP BY run_id) n ON n.run_id = r.id
            WHERE coalesce(n.told, '{}') <> CASE r.status WHEN 'failed'
              THEN ARRAY(SELECT channel::text FROM unnest(v.failure_channels) channel ORDER BY channel::text)
              ELSE '{}' END""",
    ),
    Invariant(
        name="streak-as-its-version-says",
        subject=Subject.RUNS,
        says="A run counts in a row of failures exactly when its version has somebody to tell of it.",
        broken="""
            SELECT r.id FROM executions_run r JOIN workflows_workflowversion v ON v.id = r.version_id
            WHERE r.in_streak <> (v.failure_channels <> '{}')""",
    ),
    Invariant(
        name="notice-in-its-message",
        subject=Subject.NOTICES,
        says="A handled notice is in a message of its own version and channel, or was counted; an open one is in none.",
        broken="""
            SELECT n.id FROM executions_notice n LEFT JOIN executions_noticemessage m ON m.id = n.message_id
            WHERE (n.message_id IS NOT NULL) <> (n.handled_at IS NOT NULL AND n.channel <> 'streak')
              OR (m.id IS NOT NULL AND (m.version_id, m.channel, m.kind) <> (n.version_id, n.channel, 'run.failed'))""",
    ),
    Invariant(
        name="message-counts-its-runs",
        subject=Subject.MESSAGES,
        says="A message says of what kind it is and of how many failed runs it tells: those of its notices.",
        broken="""
            SELECT m.id FROM executions_noticemessage m
            LEFT JOIN (SELECT message_id, count(*) AS number FROM executions_notice GROUP BY message_id) n
              ON n.message_id = m.id
            WHERE m.body->>'type' IS DISTINCT FROM m.kind
              OR (m.body #>> '{data,failed_runs}')::int IS DISTINCT FROM m.runs
              OR (m.kind = 'run.failed' AND m.runs IS DISTINCT FROM n.number)""",
    ),
    Invariant(
        name="notices-go-out",
        subject=Subject.NOTICES,
        says="No notice is open for hours longer than its version's every_seconds, and no message is pending for a day.",
        broken="""
            SELECT 'notice ' || n.id FROM executions_notice n JOIN workflows_workflowversion v ON v.id = n.version_id
            WHERE n.handled_at IS NULL AND n.at < now() - interval '6 hours'
              - make_interval(secs => coalesce((v.definition #>> '{settings,on_failure,every_seconds}')::int, 0))
            UNION ALL
            SELECT 'message ' || id FROM executions_noticemessage
            WHERE status = 'pending' AND created_at < now() - interval '1 day'""",
        remedy="Start an http worker: it sends notices.",
    ),
    Invariant(
        name="paused-for-a-reason",
        subject=Subject.WORKFLOWS,
        says="Only a paused workflow has a reason for it, and the reason is a code of the catalogue.",
        broken="""
            SELECT id FROM workflows_workflow
            WHERE paused_reason <> '' AND (status <> 'paused' OR paused_reason <> ALL (%(codes)s::text[]))""",
    ),
)
