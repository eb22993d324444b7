"""Send a delivery again: as the event that it is, which starts nothing twice, or as a test of the draft."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from django.db import transaction

from lightfield.access import audit
from lightfield.kernel import sql
from lightfield.kernel.errors import RequestRefused
from lightfield.kernel.ids import uuid7
from triggers import outbox
from triggers.deliveries import statements
from triggers.deliveries.models import Delivery, DeliveryVerdict
from triggers.models import OutboxEvent
from workflows import services as workflows


class As(StrEnum):
    EVENT = "event"
    TEST = "test"


@dataclass(frozen=True)
class Sent:
    """`delivery_id`: of the test; sending as an event leaves no new delivery."""

    event_id: UUID
    is_duplicate: bool
    is_test: bool
    delivery_id: UUID | None


@sql.retrying_conflicts
@transaction.atomic
def send_again(*, delivery_id: UUID, as_: As, by: str) -> Sent:
    """Send the payload of a delivery through capture once more.

    As an event it goes under the id and the key of the event it became, also when the sender gave no key: whoever sends
    what again, and however often, has the first event. As a test it is a new event, whose run is a real one of the draft
    as it is now.

    Raises:
        RequestRefused: `request.not_found`; `delivery.no_payload` unless it was accepted, or repeated one that was;
            of a test, what `workflows.services.snapshot_draft` raises.
    """
    delivery = Delivery.objects.filter(pk=delivery_id).first()
    if delivery is None:
        raise RequestRefused("request.not_found", f"There is no delivery {delivery_id}.")
    event = _event_of(delivery)
    if as_ is As.TEST:
        sent = _as_test(delivery, event, by=by)
    else:
        captured = outbox.append_again(event)
        sent = Sent(captured.event_id, captured.is_duplicate, is_test=False, delivery_id=None)
    audit.record(
        actor=by,
        action="delivery.tested" if sent.is_test else "delivery.sent_again",
        subject=delivery.workflow_id,
        delivery_id=str(delivery_id),
        event_id=str(sent.event_id),
    )
    return sent


def _event_of(delivery: Delivery) -> OutboxEvent:
    """Locked, so that it is still there at COMMIT. A dispatch of it waits that long, or passes it by for now."""
    locked = OutboxEvent.objects.select_for_update(no_key=True)
    has_payload = delivery.verdict in (DeliveryVerdict.ACCEPTED, DeliveryVerdict.DUPLICATE)
    event = locked.filter(pk=delivery.event_id).first() if has_payload and delivery.event_id else None
    if event is None:
        raise RequestRefused("delivery.no_payload")
    return event


def _as_test(delivery: Delivery, event: OutboxEvent, *, by: str) -> Sent:
    version = workflows.snapshot_draft(workflow_id=delivery.workflow_id, by=by)
    captured = outbox.append_test(event, version_id=version.pk)
    params = {"id": uuid7(), "event_id": captured.event_id, "again_of": delivery.pk}
    sql.rows(statements.TEST, params)
    return Sent(captured.event_id, is_duplicate=False, is_test=True, delivery_id=params["id"])
