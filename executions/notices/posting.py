"""A message as an HTTP request: through the one egress door, signed as Standard Webhooks when a secret is there.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, version 1.0.0.
"""

from __future__ import annotations

import time
from typing import Any, Final

from executions import egress
from executions.egress.retry_after import retry_after_seconds
from executions.notices import signing
from executions.steps.http_answers import excerpt
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from workflows.canonical import canonical_json

TIMEOUT_SECONDS: Final = 15.0  # for everything, from the name lookup to the last byte
MAX_BYTES: Final = 64 * 1024  # of the answer, which nobody reads
GONE: Final = 410  # the receiver wants no more of it


def post(message_id: str, workflow_id: str, body: dict[str, Any], webhook: dict[str, Any]) -> None:
    """Send it once. Any 2xx is a success; redirects are not followed.

    Raises:
        PermanentStepError: `egress.*`, `http.tls_failed` and others that no other try would change; `notice.refused`
            after 410.
        TransientStepError: `notice.refused` after any other answer, with its Retry-After; `http.*` without an answer.
    """
    raw = canonical_json(body).encode()
    now = int(time.time())  # the receiver's clock judges it, which is neither ours nor the database's
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        **signing.signature(workflow_id, message_id, now, raw),
    }
    answer = egress.request(
        method="POST",
        url=str(webhook.get("url", "")),
        headers=headers,
        body=raw,
        timeout_seconds=TIMEOUT_SECONDS,
        max_bytes=MAX_BYTES,
    )
    if 200 <= answer.status_code < 300:
        return
    said = excerpt(answer.body)[:200]
    told = f"{answer.url_host} answered {answer.status_code}{': ' if said else '.'}{said}"
    if answer.status_code == GONE:
        raise PermanentStepError("notice.refused", told, answered=True)
    after = retry_after_seconds(answer.headers, status_code=answer.status_code)
    raise TransientStepError("notice.refused", told, retry_after=after, answered=True)
