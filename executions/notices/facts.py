"""Messages as rows: what one is about is read and frozen in the transaction that makes it."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings

from executions.notices import texts
from executions.notices.counting import failures_in_a_row
from executions.notices.models import Channel, MessageKind
from executions.notices.texts import Facts, FailedRun
from lightfield.kernel import sql
from workflows.models import Workflow, WorkflowVersion

TOLD: Final = (Channel.WEBHOOK, Channel.EMAIL)

# The first of these failed runs. Theirs is the error as it was stored: redacted, and cut again by the words.
OF_MESSAGE: Final = """
SELECT r.id, r.trace_id, r.error->>'code', r.error->>'message', r.finished_at,
  (SELECT s.key FROM executions_steprun s WHERE s.run_id = r.id AND s.status = 'failed' LIMIT 1)
FROM (SELECT run_id, id FROM executions_notice WHERE message_id = %(message_id)s::uuid ORDER BY id LIMIT %(most)s::int) n
JOIN executions_run r ON r.id = n.run_id ORDER BY n.id
"""
NEWEST: Final = """
SELECT r.id, r.trace_id, r.error->>'code', r.error->>'message', r.finished_at,
  (SELECT s.key FROM executions_steprun s WHERE s.run_id = r.id AND s.status = 'failed' LIMIT 1)
FROM executions_run r
WHERE r.workflow_id = %(workflow_id)s::uuid AND r.in_streak AND r.status IN ('completed', 'failed')
  AND r.status || '' = 'failed' AND r.version_id = %(version_id)s::bigint
ORDER BY r.finished_at DESC LIMIT %(most)s::int
"""

MAKE: Final = """
INSERT INTO executions_noticemessage (id, workflow_id, version_id, channel, kind, status, body, runs, attempts, fence,
  due_at, error, created_at)
SELECT uuid_v7(), %(workflow_id)s::uuid, %(version_id)s::bigint, %(channel)s::text, %(kind)s::text, 'pending', '{}', 0,
  0, 0, clock_timestamp(), '', clock_timestamp()
WHERE NOT EXISTS (
  SELECT 1 FROM executions_noticemessage m WHERE m.version_id = %(version_id)s::bigint
    AND m.channel = %(channel)s::text AND m.kind = %(kind)s::text
    AND m.created_at > clock_timestamp() - make_interval(secs => %(every)s::float8))
ON CONFLICT DO NOTHING RETURNING id, created_at
"""
FREEZE: Final = """
UPDATE executions_noticemessage SET body = %(body)s::jsonb, runs = %(runs)s::int WHERE id = %(message_id)s::uuid
"""


def make(version: WorkflowVersion, channel: str, kind: MessageKind, *, every_seconds: float) -> Any:
    """A pending message without a body, `(id, created_at)`; None while one is on its way or was made just now."""
    return sql.row(
        MAKE,
        {
            "workflow_id": str(version.workflow_id),
            "version_id": version.pk,
            "channel": channel,
            "kind": kind.value,
            "every": every_seconds,
        },
    )


def freeze(
    made: Any,
    version: WorkflowVersion,
    kind: MessageKind,
    *,
    runs: int,
    in_a_row: int,
    rows: list[tuple[Any, ...]],
    reason: str | None = None,
) -> None:
    """Write what the message says; it is never rendered again."""
    message_id, created_at = made
    name = Workflow.objects.values_list("name", flat=True).get(pk=version.workflow_id)
    facts = Facts(
        kind=kind,
        workflow_id=str(version.workflow_id),
        workflow_name=name,
        version=version.number,
        failed_runs=runs,
        in_a_row=in_a_row,
        runs=[_failed(row) for row in rows],
        at=created_at,
        reason=reason,
    )
    body = texts.body_of(facts, public_url=settings.LIGHTFIELD_PUBLIC_URL)
    sql.rows(FREEZE, {"message_id": str(message_id), "body": sql.json(body), "runs": runs})


def tell(version: WorkflowVersion, kind: MessageKind, *, reason: str) -> None:
    """A message of its own to everybody who is told of this version's failures. In the caller's transaction."""
    in_a_row = failures_in_a_row(str(version.workflow_id), version.pk)
    params = {"workflow_id": str(version.workflow_id), "version_id": version.pk, "most": texts.MOST_RUNS}
    rows = sql.rows(NEWEST, params)
    for channel in channels_of(version):
        made = make(version, channel, kind, every_seconds=0)
        if made is not None:
            freeze(made, version, kind, runs=in_a_row, in_a_row=in_a_row, rows=rows, reason=reason)


def channels_of(version: WorkflowVersion) -> list[str]:
    """Those by which messages leave."""
    told = version.definition["settings"].get("on_failure") or {}
    return [channel.value for channel in TOLD if told.get(channel.value)]


def _failed(row: tuple[Any, ...]) -> FailedRun:
    run_id, trace_id, code, message, failed_at, step = row
    return FailedRun(str(run_id), trace_id, code or "", message or "", step, failed_at)
