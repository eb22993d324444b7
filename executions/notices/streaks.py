"""The pause that follows when too many runs failed in a row.

Decided off the way of the runs: the failure left a notice, and whoever handles that counts. A workflow that was
paused, published or resumed meanwhile is left alone: what failed before says nothing about it.
"""

from __future__ import annotations

from typing import Final

from django.db import transaction

from executions.notices.counting import failures_in_a_row
from executions.notices.facts import tell
from executions.notices.models import MessageKind
from lightfield.kernel import sql
from lightfield.kernel.crashpoint import crashpoint
from workflows import services
from workflows.models import Workflow, WorkflowVersion

REASON: Final = "workflow.failing"

# Marked before they are counted: whoever is marked has failed, and the count is a later statement, which sees it.
MARK: Final = """
UPDATE executions_notice SET handled_at = clock_timestamp() WHERE id = ANY (ARRAY(
  SELECT id FROM executions_notice
  WHERE version_id = %(version_id)s::bigint AND channel = 'streak' AND handled_at IS NULL ORDER BY id LIMIT 10000))
"""


@sql.retrying_conflicts
def judge(version_id: int) -> bool:
    """Count the failures that wait to be counted, and pause the workflow if they are too many. True when it did.

    One transaction: the workflow is locked first, as by whoever publishes, pauses or resumes it. Again: nothing.
    """
    version = WorkflowVersion.objects.only("workflow_id", "definition", "number").get(pk=version_id)
    most = version.definition["settings"]["pause_after_failures"]

    def failing(workflow: Workflow) -> dict[str, int] | None:
        sql.rows(MARK, {"version_id": version_id})
        in_a_row = failures_in_a_row(str(workflow.pk), version_id)
        return {"failures_in_a_row": in_a_row} if in_a_row >= most else None

    with transaction.atomic():
        is_paused = services.pause_by_itself(
            workflow_id=version.workflow_id, version_id=version_id, reason=REASON, if_so=failing
        )
        if is_paused:
            tell(version, MessageKind.WORKFLOW_PAUSED, reason=REASON)
            crashpoint("CP-N3")
    return is_paused
