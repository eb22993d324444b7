"""A workflow's samples: the payloads of its last deliveries, taken on request, to write templates by.

They are what senders really sent, nothing left out: who may see events sees them. So taking them is audited, and they can
be thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from lightfield.access import audit
from lightfield.kernel import sql, strict_json
from lightfield.kernel.errors import RequestRefused
from triggers.deliveries.models import Samples
from triggers.models import Trigger

MOST: Final = 10
MOST_BYTES_OF_ONE: Final = 64 << 10
MOST_BYTES: Final = 256 << 10
MOST_PATHS: Final = 200
DEEPEST: Final = 8

LAST: Final = """
SELECT d.id, e.id, d.at, octet_length(e.payload::text),
  CASE WHEN octet_length(e.payload::text) <= %(most_bytes)s::int THEN e.payload END
FROM (SELECT id, event_id, at FROM triggers_delivery
  WHERE workflow_id = %(workflow_id)s::uuid AND verdict = 'accepted' AND NOT is_test
  ORDER BY id DESC LIMIT %(most)s::int) d
JOIN triggers_outboxevent e ON e.id = d.event_id ORDER BY d.id DESC
"""


@dataclass
class Path:
    """A place that templates can name, e.g. `trigger.customer.email`."""

    path: str
    types: list[str] = field(default_factory=list)
    samples: int = 0  # in how many it is there


@transaction.atomic
def take(*, workflow_id: UUID, by: str) -> Samples:
    """Make the last ten accepted deliveries' payloads the samples, in place of those before: at most 64 KiB each and
    256 KiB in all; `left_out` counts the larger ones.

    Raises:
        RequestRefused: `request.not_found`.
    """
    trigger = _trigger_of(workflow_id)
    params = {"workflow_id": workflow_id, "most": MOST, "most_bytes": MOST_BYTES_OF_ONE}
    kept: list[dict[str, Any]] = []
    room, left_out = MOST_BYTES, 0
    for delivery_id, event_id, at, size, payload in sql.rows(LAST, params):
        if payload is None or size > room:
            left_out += 1
            continue
        room -= size
        kept.append(
            {
                "delivery_id": str(delivery_id),
                "event_id": str(event_id),
                "at": at.isoformat().replace("+00:00", "Z"),
                "payload": strict_json.from_storage(payload),
            }
        )
    values = {"payloads": kept, "left_out": left_out, "taken_at": Now(), "taken_by": by}
    Samples.objects.update_or_create(trigger=trigger, defaults=values)
    audit.record(actor=by, action="samples.taken", subject=workflow_id, count=len(kept))
    return Samples.objects.get(trigger=trigger)


@transaction.atomic
def throw_away(*, workflow_id: UUID, by: str) -> None:
    """Raises RequestRefused (`request.not_found`)."""
    gone, _ = Samples.objects.filter(trigger=_trigger_of(workflow_id)).delete()
    if gone:
        audit.record(actor=by, action="samples.thrown_away", subject=workflow_id)


def of_workflow(workflow_id: UUID) -> Samples | None:
    """Raises RequestRefused (`request.not_found`) if there is no such workflow."""
    return of_trigger(_trigger_of(workflow_id))


def of_trigger(trigger: Trigger) -> Samples | None:
    return Samples.objects.filter(trigger=trigger).first()


def paths_in(payloads: list[Any]) -> list[Path]:
    """What templates can name, in the order of the samples; of a list its first item. At most 200, eight levels deep."""
    found: dict[str, Path] = {}
    for payload in payloads:
        for name, value in _walk(payload, "trigger", 0):
            known = found.get(name)
            if known is None:
                if len(found) >= MOST_PATHS:
                    continue
                known = found[name] = Path(name)
            known.samples += 1
            if (word := _type_of(value)) not in known.types:
                known.types.append(word)
    return list(found.values())


def _walk(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    yield name, value
    if depth >= DEEPEST:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            place = f"{name}.{key}" if key.isidentifier() and key.isascii() else f'{name}["{key}"]'
            yield from _walk(inner, place, depth + 1)
    elif isinstance(value, list) and value:
        yield from _walk(value[0], f"{name}[0]", depth + 1)


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "text", dict: "object", list: "list"}
    return names.get(type(value), "null")


def _trigger_of(workflow_id: UUID) -> Trigger:
    found = Trigger.objects.only("workflow_id").filter(workflow_id=workflow_id).first()
    if found is None:
        raise RequestRefused("request.not_found", f"There is no workflow {workflow_id}.")
    return found
