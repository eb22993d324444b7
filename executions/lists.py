"""How the admin's lists of runs and events are searched and filtered, so that no index is missed.

These tables grow for ever: what cannot be answered by an index is not offered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

from django.contrib.admin import ModelAdmin
from django.db.models import Q, QuerySet, TextChoices
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

from executions import selectors
from executions.models import ERROR_CODE_FORMAT, Run
from lightfield.access.look_only import PageAdmin
from lightfield.kernel import idempotency_key, sql
from triggers.models import OutboxEvent, Trigger
from workflows.models import Workflow

UUID_HEX: Final = 32
SHORTEST_PREFIX: Final = 8  # of an id, in hex digits; less would match months of runs
CHOICES_LIMIT: Final = 500  # workflows offered in the filter, the newest
MATCHES: Final = 1000  # events found by a key or trace; beyond that nobody reads on
SOURCES: Final = ("webhook", "manual", "record", "schedule")  # tests have no keys

# Skip scan over the partial index of failed runs: one probe per code that occurs.
CODES: Final = """
WITH RECURSIVE found(code) AS (
  (SELECT error_code FROM executions_run WHERE error_code IS NOT NULL ORDER BY error_code LIMIT 1)
  UNION ALL
  SELECT (SELECT r.error_code FROM executions_run r WHERE r.error_code > found.code ORDER BY r.error_code LIMIT 1)
  FROM found WHERE found.code IS NOT NULL)
SELECT code FROM found WHERE code IS NOT NULL
"""

SINCE: Final = {
    "15m": ("15 minutes", timedelta(minutes=15)),
    "1h": ("hour", timedelta(hours=1)),
    "24h": ("24 hours", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
}


class WorkflowFilter(DropdownFilter):
    title = "workflow"
    parameter_name = "workflow"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        newest = Workflow.objects.order_by("-id").values_list("pk", "name")[:CHOICES_LIMIT]
        return sorted(((str(pk), name) for pk, name in newest), key=lambda choice: choice[1].lower())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        workflow_id = _uuid(value)
        return queryset.filter(workflow_id=workflow_id) if workflow_id else queryset.none()


class ErrorCodeFilter(DropdownFilter):
    title = "error code"
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [(code, code) for (code,) in sql.rows(CODES, {})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        return (
            queryset.filter(error_code=value) if re.fullmatch(ERROR_CODE_FORMAT, value) else queryset.none()
        )


class SinceFilter(DropdownFilter):
    title = "age"
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [(key, f"In the last {words}") for key, (words, _) in SINCE.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        chosen = SINCE.get(self.value() or "")
        return selectors.runs_since(queryset, timezone.now() - chosen[1]) if chosen else queryset


class StatusTabs(PageAdmin):
    """A list with its statuses as links above it."""

    statuses: ClassVar[type[TextChoices]]
    list_before_template = "lightfield/parts/status_tabs.html"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(
            request, {"status_tabs": list(self.tabs(request)), **(extra_context or {})}
        )

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """An unknown status is a bad request."""
        if lookup == "status":
            return value in self.statuses.values
        return super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]  # the stubs know no call without a request

    def tabs(self, request: HttpRequest) -> Iterator[dict[str, Any]]:
        """`All`, then every status; each keeps the other filters."""
        chosen = request.GET.get("status", "")
        for value, label in [("", "All"), *self.statuses.choices]:
            kept = request.GET.copy()
            for name in ("p", "status"):
                kept.pop(name, None)
            if value:
                kept["status"] = value
            yield {
                "label": label,
                "query": f"?{kept.urlencode()}",
                "is_chosen": value == chosen,
                "status": value,
            }


def runs_matching(term: str) -> Q:
    """Runs by id or its beginning, trace id, event id, or the event's idempotency key."""
    found = Q(event_id__in=events_with_key(term))
    if whole := _uuid(term):
        found |= Q(pk=whole) | Q(event_id=whole) | Q(trace_id=whole.hex)
    elif bounds := _prefix(term):
        found |= Q(pk__range=bounds)
    return found


def events_matching(term: str) -> Q:
    """Events by id or its beginning, the trace id of their runs, or idempotency key."""
    ids = events_with_key(term)
    if whole := _uuid(term):
        ids += [whole, *Run.objects.filter(trace_id=whole.hex).values_list("event_id", flat=True)[:MATCHES]]
    found = Q(pk__in=ids)
    if bounds := _prefix(term):
        found |= Q(pk__range=bounds)
    return found


def events_with_key(key: str) -> list[UUID]:
    """Ids of events by idempotency key: one probe per trigger and source of the index that makes keys unique.

    Read first and then put into the list's own query as constants: there, a subquery joined by OR would hide
    every index.
    """
    keys = {key, idempotency_key.stored(key)}  # a long key is kept as its hash; either may be asked for
    found = OutboxEvent.objects.filter(
        trigger__in=Trigger.objects.values("pk"), source__in=SOURCES, idempotency_key__in=keys
    )
    return list(found.order_by("-pk").values_list("pk", flat=True)[:MATCHES])


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def _prefix(text: str) -> tuple[UUID, UUID] | None:
    """The ids that begin with these hex digits."""
    digits = text.strip().replace("-", "").lower()
    if not SHORTEST_PREFIX <= len(digits) < UUID_HEX or not re.fullmatch(r"[0-9a-f]+", digits):
        return None
    return UUID(digits.ljust(UUID_HEX, "0")), UUID(digits.ljust(UUID_HEX, "f"))
