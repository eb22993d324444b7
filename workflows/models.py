"""Workflow: what a person edits. WorkflowVersion: what was published, never changed again."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q, Value

from lightfield.kernel.ids import uuid7
from lightfield.kernel.stored_json import StoredJSON


class WorkflowStatus(models.TextChoices):
    DRAFT = "draft", "Draft"  # never published: its trigger has no kind yet; publish makes it active
    ACTIVE = "active", "Active"  # fires; a person pauses or archives it
    PAUSED = "paused", "Paused"  # refuses new events, runs go on; a person resumes or archives it
    ARCHIVED = "archived", "Archived"  # final: waiting events become ignored, history stays


class Workflow(models.Model):
    """One trigger and an ordered list of steps, under a name."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    status = models.CharField(
        max_length=10, choices=WorkflowStatus.choices, default=WorkflowStatus.DRAFT, editable=False
    )
    draft = models.JSONField(decoder=StoredJSON, help_text="The definition as it is being edited.")
    active_version = models.ForeignKey(
        "WorkflowVersion", models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    # Since the last publish or resume: failures of runs that began before do not pause it.
    active_since = models.DateTimeField(null=True, editable=False)
    # The code of the catalogue when the system paused it; empty when a person did.
    paused_reason = models.CharField(max_length=80, blank=True, default="", db_default="", editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=WorkflowStatus.values), name="workflow_status_known"
            ),
            models.CheckConstraint(
                condition=Q(status=WorkflowStatus.DRAFT)
                | Q(status=WorkflowStatus.ARCHIVED)
                | Q(active_version__isnull=False),
                name="workflow_live_has_version",
            ),
        )
        permissions = (
            ("publish_workflow", "Can publish, pause, resume and archive workflows"),
            ("run_workflow", "Can run workflows by hand"),
        )

    def __str__(self) -> str:
        return self.name


class VersionIsImmutable(TypeError):
    """A published version is never changed or deleted; publish a new one."""


class WorkflowVersion(models.Model):
    """A published definition. The database refuses UPDATE and DELETE as well (migration 0002).

    A test's is a draft as it was when somebody tried it: kept like the others, since runs are pinned to it, never
    active, and in no list of versions. Its number is the one that publishing that draft would have given.
    """

    id = models.BigAutoField(primary_key=True)
    workflow = models.ForeignKey(Workflow, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    definition = models.JSONField(decoder=StoredJSON)
    # What the engine needs of each step, in order: [{"key","type","lane","max_attempts"}, …]. Drawn from the
    # definition at publish, so that creating a run or the next step row needs no Python in the statement.
    plan = models.JSONField()
    concurrency = models.PositiveIntegerField(null=True)  # slow steps at once; NULL: the lane's own limit
    timeout_seconds = models.PositiveIntegerField(default=86_400)
    # Whom a failed run is told to: "webhook", "email", and "streak" for pause_after_failures. None of a test's.
    failure_channels = ArrayField(
        models.CharField(max_length=10),
        default=list,
        db_default=Value([], ArrayField(models.CharField(max_length=10))),
    )
    checksum = models.CharField(max_length=64)  # sha256 of the definition's canonical JSON
    published_at = models.DateTimeField(auto_now_add=True)
    published_by = models.CharField(max_length=200, blank=True)
    is_test = models.BooleanField(default=False, db_default=False)

    class Meta:
        ordering = ("-number",)
        # admission: has anybody set a limit of their own?
        indexes = (models.Index(F("id"), name="version_limited", condition=Q(concurrency__isnull=False)),)
        constraints = (
            models.UniqueConstraint(
                fields=("workflow", "number"), name="version_number_once", condition=Q(is_test=False)
            ),
            models.UniqueConstraint(
                fields=("workflow", "number", "checksum"), name="version_test_once", condition=Q(is_test=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.workflow.name} v{self.number}{' (test)' if self.is_test else ''}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise VersionIsImmutable(f"version {self.number} is published")
        super().save(*args, **kwargs)

    def delete(self, *_: Any, **__: Any) -> tuple[int, dict[str, int]]:
        raise VersionIsImmutable(f"version {self.number} is published")
