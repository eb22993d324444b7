"""Reads of workflows and versions, with the joins that lists and pages need."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from lightfield.kernel.errors import RequestRefused
from workflows.models import Workflow, WorkflowVersion


def workflows() -> QuerySet[Workflow]:
    """Newest first, with the active version: one query for a page of them."""
    return Workflow.objects.select_related("active_version").order_by("-id")


def workflow(workflow_id: UUID) -> Workflow:
    """Raises RequestRefused (`request.not_found`)."""
    found = workflows().filter(pk=workflow_id).first()
    if found is None:
        raise RequestRefused("request.not_found", f"There is no workflow {workflow_id}.")
    return found


def versions_of(workflow_id: UUID) -> QuerySet[WorkflowVersion]:
    """Newest first, without those of tests. An unknown workflow has none."""
    return WorkflowVersion.objects.filter(workflow_id=workflow_id, is_test=False).order_by("-number")


def version(workflow_id: UUID, number: int) -> WorkflowVersion:
    """Raises RequestRefused (`request.not_found`)."""
    found = versions_of(workflow_id).filter(number=number).first()
    if found is None:
        raise RequestRefused("request.not_found", f"The workflow {workflow_id} has no version {number}.")
    return found
