"""Records for tests of the API: the kinds there are, the smallest body of each, and one made of it."""

from __future__ import annotations

import uuid
from typing import Any

from crm.models import Account, Contact, Meeting, Note, Opportunity, Record, Task
from tests.api_client import ApiCaller

KINDS: dict[str, type[Record]] = {
    "accounts": Account,
    "contacts": Contact,
    "opportunities": Opportunity,
    "meetings": Meeting,
    "tasks": Task,
    "notes": Note,
}
NINE, TEN = "2026-11-03T09:00:00.000000Z", "2026-11-03T10:00:00.123456Z"
NOWHERE = str(uuid.uuid4())
SMALLEST: dict[str, dict[str, Any]] = {
    "accounts": {"name": "Acme"},
    "contacts": {"last_name": "Lovelace"},
    "opportunities": {"name": "A deal"},
    "meetings": {"title": "A talk", "start_date": NINE, "end_date": TEN},
    "tasks": {"title": "Call"},
    "notes": {"title": "Called"},
}


def made(api: ApiCaller, kind: str, **fields: Any) -> dict[str, Any]:
    """A record as the API answers when it is created: the smallest of its kind, and `fields`."""
    answer = api.post(f"/crm/{kind}", {**SMALLEST[kind], **fields})
    assert answer.status_code == 201, answer.content
    body: dict[str, Any] = answer.json()
    return body
