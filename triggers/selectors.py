"""Reads of triggers and events, with the joins that lists and pages need."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from lightfield.kernel.errors import RequestRefused
from triggers.models import OutboxEvent, Trigger


def trigger_of(workflow_id: UUID) -> Trigger:
    """Raises RequestRefused (`request.not_found`)."""
    found = Trigger.objects.select_related("workflow").filter(workflow_id=workflow_id).first()
    if found is None:
        raise RequestRefused("request.not_found", f"There is no workflow {workflow_id}.")
    return found


def events() -> QuerySet[OutboxEvent]:
    """Newest first, with trigger and workflow: one query for a page of them."""
    return OutboxEvent.objects.select_related("trigger", "workflow").order_by("-id")
