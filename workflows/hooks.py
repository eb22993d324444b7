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
H = TypeVar("H")

_created: list[CreatedHook] = []
_published: list[PublishedHook] = []
_paused: list[MovedHook] = []
_resumed: list[MovedHook] = []
_archived: list[MovedHook] = []
_storing: list[JudgingHook] = []
_publishing: list[JudgingHook] = []


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

    A draft may be unfinished or wrong. This is only for what must not be stored at all, such as secrets.
    """
    return _registered(_storing, hook)


def on_publishing(hook: JudgingHook) -> JudgingHook:
    """Decorator: ask `hook(definition)` before a draft is published; its problems refuse that."""
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


def problems_of_publishing(definition: dict[str, Any]) -> list[Problem]:
    return [problem for hook in _publishing for problem in hook(definition)]


def _registered(hooks: list[H], hook: H) -> H:
    if hook not in hooks:
        hooks.append(hook)
    return hook
