"""From what was typed to a stored draft, through the services; or back to the person, nothing lost."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest

from lightfield.builder import drafts
from lightfield.builder.drafts import Refused, Sheet
from lightfield.builder.texts import PlacedProblem, normalised, placed
from lightfield.kernel import sql
from lightfield.kernel.errors import RequestRefused
from workflows import services
from workflows.definitions import checksum
from workflows.models import Workflow


class NotStored(Exception):
    """`sheet` is what to show: the text as it was typed, with what is wrong."""

    def __init__(self, sheet: Sheet) -> None:
        super().__init__(f"{len(sheet.problems)} problems")
        self.sheet = sheet


def store(request: HttpRequest, workflow: Workflow | None) -> Workflow:
    """Create a workflow, or replace the draft of this one.

    Raises:
        NotStored: it cannot be read or is no definition, or somebody else saved since the page was opened.
    """
    base = request.POST.get("base", "")
    by = request.user.get_username()
    try:
        document = drafts.document_of(request.POST.get("definition", ""))
    except Refused as refusal:
        raise NotStored(drafts.refused(refusal.text, refusal.problems, base=base)) from None
    try:
        if workflow is None:
            return services.create_workflow(definition=document, by=by)
        return _replace(workflow, document, base=base, by=by)
    except RequestRefused as error:
        raise NotStored(_refused(request, error, base=base)) from None
    except Overtaken as overtaken:
        text = normalised(request.POST.get("definition", ""))
        raise NotStored(drafts.refused(text, [], base=overtaken.base, is_overtaken=True)) from None


class Overtaken(Exception):
    """The stored draft is not the one that was edited. `base` is its checksum."""

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self.base = base


@sql.retrying_conflicts
@transaction.atomic
def _replace(workflow: Workflow, document: dict[str, object], *, base: str, by: str) -> Workflow:
    """The draft is compared under its row's lock, so that nobody's work is overwritten unseen."""
    stored = Workflow.objects.select_for_update(no_key=True).get(pk=workflow.pk)
    now = checksum(stored.draft)
    if base and base != now and checksum(document) != now:
        raise Overtaken(now)
    return services.update_draft(workflow_id=workflow.pk, changes=document, by=by)


def _refused(request: HttpRequest, error: RequestRefused, *, base: str) -> Sheet:
    text = normalised(request.POST.get("definition", ""))
    if error.problems:
        return drafts.refused(text, placed(text, error.problems), base=base)
    return drafts.refused(text, [PlacedProblem(0, 0, "", error.code, error.message)], base=base)
