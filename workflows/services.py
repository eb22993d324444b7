"""What people do with workflows: create, edit, publish, pause, resume, archive.

Every deed locks the workflow's row, moves its status by compare-and-swap, runs the hooks of the other apps and
writes the audit trail in one transaction. It happens whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from lightfield.access import audit
from lightfield.kernel import sql
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import LostRace, RequestRefused
from workflows import hooks, secret_rules, validation
from workflows.definitions import Definition, checksum, dump, merge, parse_definition
from workflows.models import Workflow, WorkflowStatus, WorkflowVersion

# Which deed moves which status where. Archived is final.
TRANSITIONS: dict[str, dict[WorkflowStatus, WorkflowStatus]] = {
    "publish": dict.fromkeys(
        (WorkflowStatus.DRAFT, WorkflowStatus.ACTIVE, WorkflowStatus.PAUSED), WorkflowStatus.ACTIVE
    ),
    "pause": {WorkflowStatus.ACTIVE: WorkflowStatus.PAUSED},
    "resume": {WorkflowStatus.PAUSED: WorkflowStatus.ACTIVE},
    "archive": dict.fromkeys(
        (WorkflowStatus.DRAFT, WorkflowStatus.ACTIVE, WorkflowStatus.PAUSED), WorkflowStatus.ARCHIVED
    ),
}


@transaction.atomic
def create_workflow(*, definition: object, by: str) -> Workflow:
    """Store a new draft. It may be unfinished; only its shape is judged.

    Raises:
        RequestRefused: `config.invalid_definition` with one problem per place.
    """
    document, deposits = _storable(definition)
    workflow = Workflow.objects.create(name=document["name"], draft=document)
    hooks.run_created(workflow)
    audit.record(actor=by, action="workflow.created", subject=workflow.pk)
    for deposit in deposits:
        deposit(workflow, by)
    return workflow


@sql.retrying_conflicts
@transaction.atomic
def update_draft(*, workflow_id: UUID, changes: object, by: str) -> Workflow:
    """Replace top-level parts of the draft; what runs is the published version, which stays as it is.

    Two people who edit at once: the later one's parts win, and the draft is whole at any time.

    Raises:
        RequestRefused: `config.invalid_definition`, `request.not_found`, `workflow.illegal_transition` when
            the workflow is archived.
    """
    if not isinstance(changes, dict):
        raise RequestRefused("config.invalid_definition", "Send an object with the parts to replace.")
    workflow = _locked(workflow_id)
    if workflow.status == WorkflowStatus.ARCHIVED:
        raise _illegal(workflow, "edit")
    document, deposits = _storable(merge(workflow.draft, changes))
    workflow.draft, workflow.name = document, document["name"]
    workflow.save(update_fields=["draft", "name", "updated_at"])
    audit.record(actor=by, action="workflow.edited", subject=workflow.pk, parts=sorted(changes))
    for deposit in deposits:
        deposit(workflow, by)
    return workflow


@sql.retrying_conflicts
@transaction.atomic
def publish(*, workflow_id: UUID, by: str) -> tuple[WorkflowVersion, bool]:
    """Make the draft the active version and the workflow active. True when that made a new version.

    A draft equal to the active version makes none. Numbers are 1, 2, 3 … without gap.

    Raises:
        RequestRefused: `config.invalid_definition` with every problem, `request.not_found`,
            `workflow.illegal_transition` when the workflow is archived.
    """
    workflow = _locked(workflow_id)
    if workflow.status not in TRANSITIONS["publish"]:
        raise _illegal(workflow, "publish")
    definition = _publishable(workflow)
    document = dump(definition)
    active = workflow.active_version
    if active is not None and active.checksum == checksum(document):
        if workflow.status != WorkflowStatus.ACTIVE:
            _move(workflow, "publish", active_since=Now())
            hooks.run_resumed(workflow)
            audit.record(actor=by, action="workflow.resumed", subject=workflow.pk)
        return active, False

    version = _version_of(workflow, definition, document, by=by)
    _move(workflow, "publish", active_version=version, active_since=Now())
    crashpoint("CP-P1")
    hooks.run_published(workflow, version)
    audit.record(
        actor=by,
        action="workflow.published",
        subject=workflow.pk,
        version=version.number,
        checksum=version.checksum,
    )
    return version, True


@transaction.atomic
def snapshot_draft(*, workflow_id: UUID, by: str) -> WorkflowVersion:
    """The draft as it is, frozen so that test runs can be pinned to it. The same draft has one snapshot.

    It never becomes active; to publish the draft makes a version of its own.

    Raises:
        RequestRefused: `config.invalid_definition` as publishing would, `request.not_found`,
            `workflow.illegal_transition` when the workflow is archived.
    """
    workflow = _locked(workflow_id)
    if workflow.status == WorkflowStatus.ARCHIVED:
        raise _illegal(workflow, "test")
    definition = _publishable(workflow)
    document = dump(definition)
    known = WorkflowVersion.objects.filter(
        workflow=workflow, is_test=True, number=_last_number(workflow) + 1, checksum=checksum(document)
    ).first()
    return known or _version_of(workflow, definition, document, by=by, is_test=True)


@sql.retrying_conflicts
@transaction.atomic
def pause(*, workflow_id: UUID, by: str) -> Workflow:
    """Refuse new events; those accepted are still dispatched and runs go on.

    Raises:
        RequestRefused: `request.not_found`, or `workflow.illegal_transition` unless it is active.
    """
    workflow = _moved(workflow_id, "pause")
    hooks.run_paused(workflow)
    audit.record(actor=by, action="workflow.paused", subject=workflow.pk)
    return workflow


def pause_by_itself(
    *,
    workflow_id: UUID,
    version_id: int,
    reason: str,
    if_so: Callable[[Workflow], dict[str, Any] | None],
) -> bool:
    """Pause a workflow that is active with this version, if `if_so` says so under the workflow's lock.

    For the system, which acts on what it saw before it had the lock: a workflow that was paused, archived or published
    meanwhile is left alone. `if_so(workflow)` returns what the audit trail shall tell, or None. In the caller's
    transaction. True when it was paused.
    """
    workflow = _locked(workflow_id)
    facts = if_so(workflow)
    is_other = workflow.status != WorkflowStatus.ACTIVE or workflow.active_version_id != version_id
    if facts is None or is_other:
        return False
    _move(workflow, "pause", paused_reason=reason)
    hooks.run_paused(workflow)
    audit.record(actor="", action="workflow.paused", subject=workflow.pk, reason=reason, **facts)
    return True


@sql.retrying_conflicts
@transaction.atomic
def resume(*, workflow_id: UUID, by: str) -> Workflow:
    """Accept events again.

    Raises:
        RequestRefused: `request.not_found`, or `workflow.illegal_transition` unless it is paused.
    """
    workflow = _moved(workflow_id, "resume", active_since=Now())
    hooks.run_resumed(workflow)
    audit.record(actor=by, action="workflow.resumed", subject=workflow.pk)
    return workflow


@sql.retrying_conflicts
@transaction.atomic
def archive(*, workflow_id: UUID, by: str) -> Workflow:
    """End the workflow for good: no new events, waiting ones are ignored, live runs go on, history stays.

    Raises:
        RequestRefused: `request.not_found`, or `workflow.illegal_transition` when it is archived already.
    """
    workflow = _moved(workflow_id, "archive")
    crashpoint("CP-P2")
    hooks.run_archived(workflow)
    audit.record(actor=by, action="workflow.archived", subject=workflow.pk)
    return workflow


def _storable(raw: object) -> tuple[dict[str, Any], list[hooks.Deposit]]:
    """The normalised document of a draft, with nothing in it that must not be stored; what was in it is deposited."""
    definition = parse_definition(raw)
    document = dump(definition)
    problems = [*secret_rules.problems_of(definition), *hooks.problems_of_storing(document)]
    if problems:
        raise RequestRefused("config.invalid_definition", problems=problems)
    return hooks.take_out(document)


def _publishable(workflow: Workflow) -> Definition:
    definition = parse_definition(workflow.draft)
    problems = [
        *validation.problems_of(definition),
        *hooks.problems_of_publishing(workflow.draft, workflow),
    ]
    if problems:
        raise RequestRefused("config.invalid_definition", problems=problems)
    return definition


def _version_of(
    workflow: Workflow, definition: Definition, document: dict[str, Any], *, by: str, is_test: bool = False
) -> WorkflowVersion:
    return WorkflowVersion.objects.create(
        workflow=workflow,
        number=_last_number(workflow) + 1,
        definition=document,
        plan=validation.plan_of(definition),
        concurrency=definition.settings.concurrency,
        timeout_seconds=definition.settings.timeout_seconds,
        failure_channels=[] if is_test else definition.settings.failure_channels,
        checksum=checksum(document),
        published_by=by,
        is_test=is_test,
    )


def _locked(workflow_id: UUID) -> Workflow:
    """The workflow under a lock that lets events and runs go on referring to it."""
    workflow = Workflow.objects.select_for_update(no_key=True).filter(pk=workflow_id).first()
    if workflow is None:
        raise RequestRefused("request.not_found", f"There is no workflow {workflow_id}.")
    return workflow


def _last_number(workflow: Workflow) -> int:
    """Read after the row's lock was taken, so that a publish before this one is seen."""
    published = workflow.versions.filter(is_test=False)
    newest: int | None = published.aggregate(newest=Max("number"))["newest"]
    return newest or 0


def _moved(workflow_id: UUID, deed: str, **columns: Any) -> Workflow:
    workflow = _locked(workflow_id)
    _move(workflow, deed, **columns)
    return workflow


def _move(workflow: Workflow, deed: str, **columns: Any) -> None:
    """Swap the status that was read for the one this deed leads to, and set `columns` with it."""
    before = WorkflowStatus(workflow.status)
    after = TRANSITIONS[deed].get(before)
    if after is None:
        raise _illegal(workflow, deed)
    columns = {"paused_reason": "", **columns}  # that of a pause ends with it
    moved = Workflow.objects.filter(pk=workflow.pk, status=before).update(
        status=after, updated_at=Now(), **columns
    )
    if moved != 1:
        raise LostRace
    workflow.status = after
    for name, value in columns.items():
        if not isinstance(value, Now):
            setattr(workflow, name, value)


def _illegal(workflow: Workflow, deed: str) -> RequestRefused:
    return RequestRefused(
        "workflow.illegal_transition",
        f"Cannot {deed} a workflow that is {workflow.status}.",
        status=workflow.status,
    )
