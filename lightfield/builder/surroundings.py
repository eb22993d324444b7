"""What stands beside the editor: address, numbers, recent runs, versions, and who did what."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest

from executions.models import Run
from lightfield.access.keyring import UnreadableSecret
from lightfield.access.models import AuditEntry
from lightfield.builder import drafts
from lightfield.builder.deeds import ADDRESS, EVENTS, RUNS
from lightfield.builder.numbers import NONE, numbers_of
from triggers import services
from triggers.deliveries import samples
from triggers.deliveries.models import Samples
from triggers.kinds.webhook import Webhook
from workflows.models import Workflow

SHOWN: Final = 6  # of runs, versions and audit entries


def surroundings_of(request: HttpRequest, workflow: Workflow) -> dict[str, Any]:
    """For the template: at most six queries, none of them reads an output or another definition."""
    may_see_runs = request.user.has_perm(RUNS)
    versions = workflow.versions.filter(is_test=False).defer("definition", "plan").order_by("-number")
    return {
        "address": _address(request, workflow),
        "numbers": numbers_of([workflow.pk]).get(workflow.pk, NONE) if may_see_runs else None,
        "runs": list(_runs(workflow)) if may_see_runs else None,
        "versions": list(versions[:SHOWN]),
        "audit": list(AuditEntry.objects.filter(subject=str(workflow.pk))[:SHOWN]),
        "draft_differs": drafts.differs(workflow),
        "outline": drafts.outline_of(workflow.draft),
        **_samples(request, workflow),
    }


def _samples(request: HttpRequest, workflow: Workflow) -> dict[str, Any]:
    """Of a webhook only; with the places that templates can name."""
    asked = (workflow.draft.get("trigger") or {}).get("type")
    if Webhook.name not in (workflow.trigger.kind, asked) or not request.user.has_perm(EVENTS):
        return {"samples": None}
    taken = samples.of_trigger(workflow.trigger) or Samples(payloads=[])
    return {"samples": taken, "paths": samples.paths_in([one["payload"] for one in taken.payloads])}


def _runs(workflow: Workflow) -> Any:
    runs = Run.objects.filter(workflow=workflow).select_related("version").order_by("-pk")
    fields = (
        "status",
        "created_at",
        "started_at",
        "finished_at",
        "error_code",
        "version__number",
        "version__is_test",
    )
    return runs.only(*fields)[:SHOWN]


def _address(request: HttpRequest, workflow: Workflow) -> dict[str, Any] | None:
    """The webhook's full URL, or why there is none to see; None without the right to know."""
    if not request.user.has_perm(ADDRESS):
        return None
    try:
        return {"url": request.build_absolute_uri(services.webhook_path(workflow.trigger))}
    except UnreadableSecret as error:
        return {"flaw": f"{error.message} {error.entry.remedy} Or give the workflow a new address."}
