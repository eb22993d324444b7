"""The builder: where the apps meet on one page. Every write goes through a service; nothing is saved here."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from lightfield.builder import decision_page, drafts, hand_run, reference, saving, starters
from lightfield.builder.deeds import (
    ADDRESS,
    CREATE,
    DEEDS,
    DELIVERIES,
    EDIT,
    EVENTS,
    PUBLISH,
    RUN,
    Deed,
    perform,
)
from lightfield.builder.drafts import Sheet
from lightfield.builder.surroundings import surroundings_of
from lightfield.builder.workflow_list import WorkflowList
from triggers.deliveries import samples
from triggers.records import describing
from workflows.models import Workflow, WorkflowStatus


class WorkflowAdmin(WorkflowList):
    """List, editor, deeds. Workflows are archived, never deleted."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<uuid:workflow_id>/{deed.name}/",
                self.admin_site.admin_view(partial(self.deed_view, deed=deed)),
                name=f"workflow_{deed.name}",
            )
            for deed in DEEDS
        ]
        run = path("<uuid:workflow_id>/run/", self.admin_site.admin_view(self.run_view), name="workflow_run")
        why = path(
            "<uuid:workflow_id>/decisions/",
            self.admin_site.admin_view(self.decisions_view),
            name="workflow_decisions",
        )
        given = [
            path(
                f"<uuid:workflow_id>/samples/{name}/",
                self.admin_site.admin_view(require_POST(partial(self.samples_view, act=act))),
                name=f"workflow_samples_{name}",
            )
            for name, act in (("take", samples.take), ("throw", samples.throw_away))
        ]
        return [*own, *given, run, why, *super().get_urls()]

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Begin with a starter, then save a first draft."""
        _require(request, CREATE)
        if request.method == "POST":
            return self._saved(request, None)
        starter = starters.find(request.GET.get("starter"))
        sheet = drafts.sheet_from(starter.definition) if starter else None
        return self._editor(request, None, sheet, starter=starter)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The workflow's own page: editor, address, runs, versions, who did what."""
        workflow = _found(object_id)
        if request.method == "POST":
            _require(request, EDIT)
            return self._saved(request, workflow)
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return self._editor(request, workflow, drafts.sheet_of(workflow))

    def deed_view(self, request: HttpRequest, workflow_id: UUID, *, deed: Deed) -> HttpResponse:
        """POST does it. GET asks first, where there is something to ask."""
        _require(request, deed.permission)
        workflow = _found(str(workflow_id))
        if request.method == "POST":
            perform(request, deed, workflow.pk)
        elif deed.question:
            return self.page(
                request, "lightfield/confirm.html", title=workflow.name, workflow=workflow, deed=deed
            )
        return HttpResponseRedirect(address_of(workflow))

    def run_view(self, request: HttpRequest, workflow_id: UUID) -> HttpResponse:
        """Run by hand: a payload, and a key that makes a second submit the first one's event."""
        _require(request, RUN)
        workflow = _found(str(workflow_id))
        form = (
            hand_run.submitted(request, workflow) if request.method == "POST" else hand_run.offered(workflow)
        )
        if form.event_id is not None:
            if form.is_duplicate:
                messages.info(request, "This had been started already; nothing was started twice.")
            else:
                messages.success(request, "Started.")
            return HttpResponseRedirect(_after_run(request, form.event_id, workflow))
        return self.page(
            request, "lightfield/run_by_hand.html", title=workflow.name, workflow=workflow, form=form
        )

    def decisions_view(self, request: HttpRequest, workflow_id: UUID) -> HttpResponse:
        """Why did it (not) fire?"""
        _require(request, EVENTS)
        workflow = _found(str(workflow_id))
        context = decision_page.context_of(request, workflow)
        return self.page(request, "lightfield/decisions.html", title=workflow.name, **context)

    def samples_view(self, request: HttpRequest, workflow_id: UUID, *, act: Any) -> HttpResponse:
        """Take the last deliveries as samples, or throw those away that there are."""
        _require(request, EDIT)
        workflow = _found(str(workflow_id))
        taken = act(workflow_id=workflow.pk, by=request.user.get_username())
        if taken is None:
            messages.success(request, "The samples are gone.")
        elif taken.payloads:
            messages.success(request, f"{len(taken.payloads)} real payloads are samples now.")
        else:
            messages.warning(request, "There are no accepted deliveries to take.")
        return HttpResponseRedirect(address_of(workflow))

    def _saved(self, request: HttpRequest, workflow: Workflow | None) -> HttpResponse:
        """Store what was typed, or show it again with its problems."""
        try:
            stored = saving.store(request, workflow)
        except saving.NotStored as refusal:
            return self._editor(request, workflow, refusal.sheet)
        if "_publish" in request.POST:
            _require(request, PUBLISH)
            perform(request, DEEDS[0], stored.pk)
        else:
            messages.success(
                request, "The draft is saved." if workflow else "The workflow is there, as a draft."
            )
        return HttpResponseRedirect(address_of(stored))

    def _editor(
        self, request: HttpRequest, workflow: Workflow | None, sheet: Sheet | None, **more: Any
    ) -> HttpResponse:
        may = {name: request.user.has_perm(permission) for name, permission in RIGHTS.items()}
        is_final = workflow is not None and workflow.status == WorkflowStatus.ARCHIVED
        return self.page(
            request,
            "lightfield/workflow.html" if workflow else "lightfield/new_workflow.html",
            title=workflow.name if workflow else "New workflow",
            workflow=workflow,
            sheet=sheet,
            starters=starters.STARTERS,
            step_types=reference.step_entries(),
            trigger_types=reference.trigger_entries(),
            settings_fields=reference.settings_fields(),
            watchables=describing.entries(),
            may=may,
            can_edit=(may["edit"] if workflow else may["create"]) and not is_final,
            is_final=is_final,
            **(surroundings_of(request, workflow) if workflow else {}),
            **more,
        )


RIGHTS = {
    "edit": EDIT,
    "create": CREATE,
    "publish": PUBLISH,
    "run": RUN,
    "address": ADDRESS,
    "events": EVENTS,
    "deliveries": DELIVERIES,
}


def address_of(workflow: Workflow) -> str:
    return reverse("admin:workflows_workflow_change", args=[workflow.pk])


def _after_run(request: HttpRequest, event_id: UUID, workflow: Workflow) -> str:
    """The event's page, which soon shows the run; to those who may not see events, the workflow's."""
    if request.user.has_perm(EVENTS):
        return reverse("admin:triggers_outboxevent_change", args=[event_id])
    return address_of(workflow)


def _require(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied


def _found(object_id: str) -> Workflow:
    """Raises Http404."""
    try:
        return Workflow.objects.select_related("active_version", "trigger").get(pk=UUID(object_id))
    except (ValueError, Workflow.DoesNotExist):
        raise Http404(f"There is no workflow {object_id[:80]}.") from None
