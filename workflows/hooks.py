"""What other apps do when a workflow is created, published, paused, resumed or archived, inside that very transaction.

An app registers its hooks in `AppConfig.ready()`. A hook that raises undoes the whole deed, so a workflow
is never published without its trigger. `workflows` thereby needs no import of the apps that build on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lightfield.kernel.errors import Problem
from workflows.models import Workflow, WorkflowVersion

CreatedHook = Callable[[Workflow], None]
PublishedHook = Callable[[Workflow, WorkflowVersion], None]
MovedHook = Callable[[Workflow], None]
JudgingHook = Callable[[dict[str, Any]], list[Problem]]
PublishingHook = Callable[[dict[str, Any], Workflow], list[Problem]]
Deposit = Callable[[Workflow, str], None]
TakingHook = Callable[[dict[str, Any]], tuple[dict[str, Any], Deposit | None]]
H = TypeVar("H")

_created: list[CreatedHook] = []
_published: list[PublishedHook] = []
_paused: list[MovedHook] = []
_resumed: list[MovedHook] = []
_archived: list[MovedHook] = []
_storing: list[JudgingHook] = []
_taking: list[TakingHook] = []
_publishing: list[PublishingHook] = []


def on_created(hook: CreatedHook) -> CreatedHook:
    """Decorator: call `hook(workflow)` when a workflow is created."""
    return _registered(_created, hook)


def on_published(hook: PublishedHook) -> PublishedHook:
    """Decorator: call `hook(workflow, version)` for every new version, after it became the active one."""
    return _registered(_published, hook)


def on_paused(hook: MovedHook) -> MovedHook:
    """Decorator: call `hook(workflow)` when a workflow is paused."""
    return _registered(_paused, hook)


def on_resumed(hook: MovedHook) -> MovedHook:
    """Decorator: call `hook(workflow)` when a workflow is active again with the version it had."""
    return _registered(_resumed, hook)


def on_archived(hook: MovedHook) -> MovedHook:
    """Decorator: call `hook(workflow)` when a workflow is archived."""
    return _registered(_archived, hook)


def on_storing(hook: JudgingHook) -> JudgingHook:
    """Decorator: ask `hook(definition)` before a draft is stored; the problems it returns refuse it.

    A draft may be unfinished or wrong. This is only for what must not be stored at all.
    """
    return _registered(_storing, hook)


def on_taking(hook: TakingHook) -> TakingHook:
    """Decorator: let `hook(definition)` take out what is kept elsewhere, such as secrets, before a draft is stored.

    It returns the definition without it, and what is to be done with it: `deposit(workflow, by)`, called in the
    same transaction once the workflow's row is there and locked.
    """
    return _registered(_taking, hook)


def on_publishing(hook: PublishingHook) -> PublishingHook:
    """Decorator: ask `hook(definition, workflow)` before a draft is published; its problems refuse that."""
    return _registered(_publishing, hook)


def run_created(workflow: Workflow) -> None:
    for hook in _created:
        hook(workflow)


def run_published(workflow: Workflow, version: WorkflowVersion) -> None:
    for hook in _published:
        hook(workflow, version)


def run_paused(workflow: Workflow) -> None:
    for hook in _paused:
        hook(workflow)


def run_resumed(workflow: Workflow) -> None:
    for hook in _resumed:
        hook(workflow)


def run_archived(workflow: Workflow) -> None:
    for hook in _archived:
        hook(workflow)


def problems_of_storing(definition: dict[str, Any]) -> list[Problem]:
    return [problem for hook in _storing for problem in hook(definition)]


def take_out(definition: dict[str, Any]) -> tuple[dict[str, Any], list[Deposit]]:
    """The definition as it may be stored, and what is to be done with what was in it."""
    deposits = []
    for hook in _taking:
        definition, deposit = hook(definition)
        if deposit is not None:
            deposits.append(deposit)
    return definition, deposits


def problems_of_publishing(definition: dict[str, Any], workflow: Workflow) -> list[Problem]:
    return [problem for hook in _publishing for problem in hook(definition, workflow)]


def _registered(hooks: list[H], hook: H) -> H:
    if hook not in hooks:
        hooks.append(hook)
    return hook
