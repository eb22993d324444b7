"""Workflows and versions: numbered without gap, never changed since they were published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from executions.verifying.invariant import Invariant, Subject
from workflows.definitions import Settings, checksum
from workflows.models import WorkflowVersion


def _versions() -> Iterator[WorkflowVersion]:
    return WorkflowVersion.objects.order_by("pk").iterator(chunk_size=200)


def changed_versions() -> Iterator[str]:
    """Canonical JSON is Python's: the checksums are computed here and not in SQL."""
    for version in _versions():
        if checksum(version.definition) != version.checksum:
            yield str(version.pk)


def planned_otherwise() -> Iterator[str]:
    for version in _versions():
        if _planned(version) != _defined(version):
            yield str(version.pk)


def _planned(version: WorkflowVersion) -> list[Any]:
    steps = [(step["key"], step["type"], step["max_attempts"]) for step in version.plan]
    return [*steps, version.concurrency, version.timeout_seconds, version.failure_channels]


def _defined(version: WorkflowVersion) -> list[Any]:
    definition = version.definition
    steps = [(step["key"], step["type"], step["retry"]["max_attempts"]) for step in definition["steps"]]
    limits = Settings.model_validate(definition["settings"])
    channels = [] if version.is_test else limits.failure_channels
    return [*steps, limits.concurrency, limits.timeout_seconds, channels]


INVARIANTS = (
    Invariant(
        name="version-unchanged",
        number="I9",
        subject=Subject.VERSIONS,
        says="A version's checksum is the SHA-256 of its definition as it is stored.",
        broken=changed_versions,
    ),
    Invariant(
        name="plan-follows-definition",
        number="I9",
        subject=Subject.VERSIONS,
        says="A version's plan and limits are those of its definition.",
        broken=planned_otherwise,
    ),
    Invariant(
        name="versions-numbered",
        subject=Subject.WORKFLOWS,
        says="A workflow's versions are 1, 2, 3 … without gap; the active one is its own newest; it has a trigger.",
        broken="""
            SELECT workflow_id FROM workflows_workflowversion WHERE NOT is_test GROUP BY workflow_id
            HAVING min(number) <> 1 OR max(number) <> count(*)
            UNION ALL
            SELECT w.id FROM workflows_workflow w LEFT JOIN triggers_trigger t ON t.workflow_id = w.id
            LEFT JOIN (SELECT workflow_id, max(number) AS newest FROM workflows_workflowversion
              WHERE NOT is_test GROUP BY workflow_id) n
              ON n.workflow_id = w.id
            LEFT JOIN workflows_workflowversion v
              ON v.id = w.active_version_id AND v.workflow_id = w.id AND v.number = n.newest AND NOT v.is_test
            WHERE t.id IS NULL OR (w.active_version_id IS NOT NULL AND v.id IS NULL)
              OR (w.status IN ('active', 'paused') AND v.id IS NULL)""",
    ),
    Invariant(
        name="test-stays-a-test",
        subject=Subject.VERSIONS,
        says="What was frozen for a test runs tests and nothing else, and whatever is a test runs on such a version.",
        broken="""
            SELECT e.id FROM triggers_outboxevent e JOIN workflows_workflowversion v ON v.id = e.version_id
            WHERE v.is_test <> (e.source = 'test')""",
    ),
    Invariant(
        name="trigger-follows-version",
        subject=Subject.WORKFLOWS,
        says="A workflow's trigger is of the kind that its active version names, with that version's config, and a webhook is "
        "signed as that says; before the first publish it is of no kind.",
        broken="""
            SELECT w.id FROM workflows_workflow w JOIN triggers_trigger t ON t.workflow_id = w.id
            LEFT JOIN workflows_workflowversion v ON v.id = w.active_version_id
            WHERE t.kind IS DISTINCT FROM coalesce(v.definition #>> '{trigger,type}', '')
              OR t.config IS DISTINCT FROM coalesce(v.definition #> '{trigger,config}', '{}')
              OR t.signing <> CASE
                WHEN t.kind = 'webhook' AND coalesce(t.config #>> '{signature,scheme}', 'none') <> 'none'
                THEN coalesce(nullif(t.config #>> '{signature,preset}', ''), t.config #>> '{signature,scheme}')
                ELSE '' END""",
    ),
)
