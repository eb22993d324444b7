"""Open notices become messages: the first failure at once, what follows together, at most one in `every_seconds`.

So ten thousand failures in a minute are one message, and another one five minutes later.
"""

from __future__ import annotations

import logging
from typing import Final

from django.db import InterfaceError, OperationalError, transaction

from executions.notices import facts, streaks, texts
from executions.notices.counting import failures_in_a_row
from executions.notices.models import Channel, MessageKind
from lightfield.kernel import sql
from lightfield.kernel.crashpoint import crashpoint
from workflows.models import WorkflowVersion

logger = logging.getLogger(__name__)

AT_ONCE: Final = 10_000  # notices in one message; the rest waits for the next
GROUPS_AT_ONCE: Final = 200

# Versions and channels with open notices, if a message may be made now: one index probe for each.
OPEN: Final = """
WITH RECURSIVE g(version_id, channel) AS (
  (SELECT version_id, channel FROM executions_notice WHERE handled_at IS NULL ORDER BY version_id, channel LIMIT 1)
  UNION ALL
  SELECT n.version_id, n.channel FROM g CROSS JOIN LATERAL (
    SELECT x.version_id, x.channel FROM executions_notice x
    WHERE x.handled_at IS NULL AND (x.version_id, x.channel) > (g.version_id, g.channel)
    ORDER BY x.version_id, x.channel LIMIT 1) n)
SELECT g.version_id, g.channel FROM g
WHERE g.channel = 'streak' OR NOT EXISTS (
  SELECT 1 FROM workflows_workflowversion v CROSS JOIN LATERAL (
    SELECT m.status, m.created_at FROM executions_noticemessage m
    WHERE m.version_id = g.version_id AND m.channel = g.channel AND m.kind = 'run.failed' ORDER BY m.id DESC LIMIT 1) m
  WHERE v.id = g.version_id AND (m.status = 'pending' OR m.created_at > statement_timestamp()
    - make_interval(secs => (v.definition #>> '{settings,on_failure,every_seconds}')::float8)))
"""

TAKE: Final = """
WITH n AS MATERIALIZED (
  SELECT id FROM executions_notice
  WHERE version_id = %(version_id)s::bigint AND channel = %(channel)s::text AND handled_at IS NULL
  ORDER BY id LIMIT %(most)s::int FOR UPDATE SKIP LOCKED)
UPDATE executions_notice x SET message_id = %(message_id)s::uuid, handled_at = clock_timestamp()
FROM n WHERE x.id = n.id RETURNING x.id
"""


def gather() -> int:
    """Handle every open notice that may be handled now. Returns how many messages were made."""
    made = 0
    for version_id, channel in sql.rows(f"{OPEN} LIMIT {GROUPS_AT_ONCE}", {}):
        try:
            if channel == Channel.STREAK:
                streaks.judge(version_id)
            else:
                made += gather_one(version_id, channel)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            # One workflow's notices must not keep the others' back; the sweep rings for them again.
            logger.exception("notices_not_gathered", extra={"version_id": version_id, "channel": channel})
    return made


@sql.retrying_conflicts
def gather_one(version_id: int, channel: str) -> bool:
    """One message of all open notices of this version and channel; False when there is nothing to tell now."""
    version = WorkflowVersion.objects.only("workflow_id", "definition", "number").get(pk=version_id)
    told = version.definition["settings"]["on_failure"]
    with transaction.atomic():
        made = facts.make(version, channel, MessageKind.RUN_FAILED, every_seconds=told["every_seconds"])
        if made is None:
            return False
        params = {"version_id": version_id, "channel": channel, "most": AT_ONCE, "message_id": str(made[0])}
        taken = len(sql.rows(TAKE, params))
        if not taken:  # somebody else was quicker
            transaction.set_rollback(True)
            return False
        rows = sql.rows(facts.OF_MESSAGE, {"message_id": str(made[0]), "most": texts.MOST_RUNS})
        in_a_row = failures_in_a_row(str(version.workflow_id), version_id)
        facts.freeze(made, version, MessageKind.RUN_FAILED, runs=taken, in_a_row=in_a_row, rows=rows)
        crashpoint("CP-N1")
    return True
