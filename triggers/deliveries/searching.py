"""How deliveries are searched, each way by an index: the table is large, and what would read all of it is not offered."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.core.validators import RegexValidator
from django.db.models import Q, QuerySet
from django_filters import (
    BooleanFilter,
    CharFilter,
    ChoiceFilter,
    IsoDateTimeFilter,
    NumberFilter,
    UUIDFilter,
)
from django_filters.rest_framework import FilterSet

from lightfield.kernel import idempotency_key
from triggers.deliveries.models import Delivery, DeliveryVerdict
from triggers.models import OutboxEvent, Trigger

SLACK: Final = timedelta(minutes=5)  # between a web server's clock, of which ids are made, and the database's
FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LAST: Final = datetime(9000, 1, 1, tzinfo=UTC)
MOST_TERM: Final = 255
MATCHES: Final = 1_000
_HEX_DIGITS: Final = re.compile(r"[0-9a-f]{8,31}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_CODE: Final = re.compile(r"[a-z]+\.[a-z0-9_]+")


class DeliveryFilter(FilterSet):
    workflow = UUIDFilter(field_name="workflow_id")
    verdict = ChoiceFilter(choices=DeliveryVerdict.choices)
    status = NumberFilter(field_name="answer", min_value=100, max_value=599, help_text="What was answered.")
    since = IsoDateTimeFilter(method="filter_since", help_text="Came then or later.")
    until = IsoDateTimeFilter(method="filter_until", help_text="Came before.")
    event = UUIDFilter(field_name="event_id", help_text="What became this event, or repeated it.")
    digest = CharFilter(
        method="filter_digest",
        validators=[RegexValidator(r"^[0-9a-f]{64}$", "Expected 64 hex digits.")],
        help_text="SHA-256 of the body.",
    )
    test = BooleanFilter(field_name="is_test")
    q = CharFilter(
        method="filter_q",
        max_length=MOST_TERM,
        help_text="Id of a delivery or its beginning, id of an event, digest, error code, or idempotency key.",
    )

    def filter_since(self, rows: QuerySet[Delivery], name: str, instant: datetime) -> QuerySet[Delivery]:
        return since(rows, instant)

    def filter_until(self, rows: QuerySet[Delivery], name: str, instant: datetime) -> QuerySet[Delivery]:
        instant = min(max(instant, FIRST), LAST)
        return rows.filter(at__lt=instant, pk__lt=_bound(instant + SLACK))

    def filter_digest(self, rows: QuerySet[Delivery], name: str, digest: str) -> QuerySet[Delivery]:
        return rows.filter(digest=bytes.fromhex(digest))

    def filter_q(self, rows: QuerySet[Delivery], name: str, term: str) -> QuerySet[Delivery]:
        return rows.filter(matching(term))


def since(rows: QuerySet[Any], instant: datetime) -> QuerySet[Any]:
    """Those that came at `instant` or later. Ids are UUIDv7, so a list by id ends there."""
    instant = min(max(instant, FIRST), LAST)
    return rows.filter(at__gte=instant, pk__gte=_bound(instant - SLACK))


def matching(term: str) -> Q:
    """By id or its beginning, event, digest, code or idempotency key: whatever the term can be."""
    term = term.strip()
    lowered = term.lower()
    if _DIGEST.fullmatch(lowered):
        return Q(digest=bytes.fromhex(lowered))
    if _CODE.fullmatch(term):
        return Q(code=term)
    found = Q(event_id__in=_events_with_key(term))
    digits = lowered.replace("-", "")
    if re.fullmatch(r"[0-9a-f]{32}", digits):
        found |= Q(pk=UUID(digits)) | Q(event_id=UUID(digits))
    elif _HEX_DIGITS.fullmatch(digits):
        found |= Q(pk__range=(UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))))
    return found


def _events_with_key(term: str) -> list[UUID]:
    """Read first and then named: joined by OR, a subquery would hide every index."""
    events = OutboxEvent.objects.filter(
        trigger__in=Trigger.objects.values("pk"),
        source="webhook",
        idempotency_key__in={term, idempotency_key.stored(term)},
    )
    return list(events.order_by("-pk").values_list("pk", flat=True)[:MATCHES])


def _bound(instant: datetime) -> UUID:
    return UUID(int=int(instant.timestamp() * 1000) << 80)
