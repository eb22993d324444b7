"""Messages leave: taken under a lease, sent with no transaction open, and what came of it written by the fence.

At least once: whoever dies between the send and its word about it leaves the message to the next, who sends the same
body under the same id. A message that is refused for good or tried too often is `failed`, and nothing else fails by it.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from executions.notices import gathering, mailing, posting
from executions.notices.models import Channel
from executions.outcomes import storable
from lightfield.kernel import sql, strict_json
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import PermanentStepError, StepError, TransientStepError
from workflows.retry_policy import RetryPolicy

logger = logging.getLogger(__name__)

LEASE_SECONDS: Final = 60.0  # several times what a send takes
# About 10, 20, 40 … 3600 s, less up to half of each: the last try follows three hours after the first.
POLICY: Final = RetryPolicy(max_attempts=12, base_seconds=10.0, cap_seconds=3600.0)
TURN_SECONDS: Final = (
    10.0  # one bell sends for so long: a worker that is told to stop waits for it. The sweep rings again
)
LOCK: Final = 0x4C464E4F  # "LFNO": whoever takes a message counts those that are out

TAKE_TURN: Final = "SELECT pg_advisory_xact_lock(%(lock)s)"
TAKE: Final = """
WITH d AS MATERIALIZED (
  SELECT id FROM executions_noticemessage
  WHERE status = 'pending' AND due_at <= clock_timestamp()
    AND (SELECT count(*) FROM executions_noticemessage o
         WHERE o.status = 'pending' AND o.lease_expires_at > clock_timestamp()) < %(senders)s::int
  ORDER BY attempts, due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE executions_noticemessage m SET attempts = m.attempts + 1, fence = m.fence + 1,
  due_at = clock_timestamp() + make_interval(secs => %(lease)s::float8),
  lease_expires_at = clock_timestamp() + make_interval(secs => %(lease)s::float8)
FROM d WHERE m.id = d.id
RETURNING m.id, m.workflow_id, m.channel, m.attempts, m.fence, m.body::text,
  (SELECT v.definition #> '{settings,on_failure}' FROM workflows_workflowversion v WHERE v.id = m.version_id)::text
"""

SETTLE: Final = """
UPDATE executions_noticemessage SET status = %(status)s::text, error_code = %(code)s::text, error = %(error)s::text,
  lease_expires_at = NULL,
  due_at = CASE WHEN %(status)s::text = 'pending' THEN clock_timestamp() + make_interval(secs => %(delay)s::float8)
                ELSE due_at END,
  finished_at = CASE WHEN %(status)s::text <> 'pending' THEN clock_timestamp() END
WHERE id = %(id)s::uuid AND fence = %(fence)s::int AND status = 'pending' RETURNING id
"""

DUE: Final = f"""
SELECT EXISTS (SELECT 1 FROM executions_noticemessage WHERE status = 'pending' AND due_at <= statement_timestamp())
  OR EXISTS ({gathering.OPEN})
"""


@dataclass(frozen=True)
class Outgoing:
    """A message in this thread's hands."""

    id: str
    workflow_id: str
    channel: str
    attempt: int
    fence: int
    body: dict[str, Any]
    told: dict[str, Any]  # the version's settings.on_failure


def is_due() -> bool:
    """Whether a notice can be gathered or a message sent now: the sweep's question."""
    found = sql.row(DUE, {})
    return bool(found and found[0])


def send_due() -> int:
    """Gather what is open and send what is due, one after the other. Returns how many were sent or tried."""
    gathering.gather()
    tried, until = 0, time.monotonic() + TURN_SECONDS
    while time.monotonic() < until:
        message = take()
        sql.release()
        if message is None:
            break
        send(message)
        tried += 1
    return tried


@sql.retrying_conflicts
def take() -> Outgoing | None:
    """The message that was tried the least and is due the longest; None also while enough are being sent."""
    params = {"lock": LOCK, "senders": settings.LIGHTFIELD_NOTICE_SENDERS, "lease": LEASE_SECONDS}
    found = sql.rows_after(TAKE_TURN, TAKE, params)
    if not found:
        return None
    message_id, workflow_id, channel, attempt, fence, body, told = found[0]
    return Outgoing(
        str(message_id),
        str(workflow_id),
        channel,
        attempt,
        fence,
        strict_json.from_storage(body),
        strict_json.from_storage(told) if told else {},
    )


def send(message: Outgoing) -> None:
    """Send it, and write what came of it. Raises nothing but what the database says."""
    if message.attempt > POLICY.max_attempts:  # those who had it died each time
        settle(message, PermanentStepError("notice.given_up"), is_final=True)
        return
    try:
        if message.channel == Channel.WEBHOOK:
            posting.post(message.id, message.workflow_id, message.body, message.told.get("webhook") or {})
        else:
            mailing.mail(message.id, message.body, message.told.get("email") or [])
    except StepError as error:
        is_final = isinstance(error, PermanentStepError) or not POLICY.allows_attempt_after(message.attempt)
        settle(message, error, is_final=is_final)
    except Exception as error:
        logger.exception("notice_failed_unexpectedly", extra={"message_id": message.id})
        is_final = not POLICY.allows_attempt_after(message.attempt)
        settle(message, TransientStepError("notice.unexpected", type(error).__name__), is_final=is_final)
    else:
        crashpoint("CP-N2")
        settle(message, None, is_final=True)


def settle(message: Outgoing, error: StepError | None, *, is_final: bool) -> bool:
    """False: somebody else has taken the message since."""
    status = "sent" if error is None else "failed" if is_final else "pending"
    asked = error.retry_after if isinstance(error, TransientStepError) else None
    delay = POLICY.delay_after(message.attempt, random=random.random, retry_after=asked)
    written = sql.rows(
        SETTLE,
        {
            "id": message.id,
            "fence": message.fence,
            "status": status,
            "code": error.code if error else None,
            "error": storable(error.message)[:500] if error else "",
            "delay": delay,
        },
    )
    if error is not None:
        logger.warning(
            "notice_not_sent",
            extra={
                "message_id": message.id,
                "code": error.code,
                "is_final": is_final,
                "error": error.message,
            },
        )
    return bool(written)
