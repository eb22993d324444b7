"""Notice: a failed run that is to be told by one channel. NoticeMessage: what is sent, and what came of it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from lightfield.kernel.ids import uuid7
from workflows.models import Workflow, WorkflowVersion


class Channel(models.TextChoices):
    """Where a failure is told. A new one is no migration."""

    WEBHOOK = "webhook", "Webhook"
    EMAIL = "email", "E-mail"
    STREAK = "streak", "Failures in a row"  # to the workflow itself, which may be paused by it


class MessageKind(models.TextChoices):
    RUN_FAILED = "run.failed", "Runs failed"
    WORKFLOW_PAUSED = "workflow.paused", "Workflow paused"


class MessageStatus(models.TextChoices):
    PENDING = "pending", "Pending"  # due, being sent or to be tried again; whoever sends it moves it on
    SENT = "sent", "Sent"  # final: the receiver took it
    FAILED = (
        "failed",
        "Failed",
    )  # final: refused for good, or too many tries; nobody is told of that by message


class NoticeMessage(models.Model):
    """One message to one channel about one run, or about several. Its id and its text are the same in every try."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workflow = models.ForeignKey(Workflow, models.PROTECT, related_name="notice_messages")
    version = models.ForeignKey(WorkflowVersion, models.PROTECT, related_name="+", db_index=False)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    kind = models.CharField(max_length=20, choices=MessageKind.choices)
    status = models.CharField(max_length=10, choices=MessageStatus.choices, default=MessageStatus.PENDING)
    body = models.JSONField(default=dict)  # as it is sent, frozen when it was gathered
    runs = models.PositiveIntegerField(default=0)  # how many failed runs it tells of
    attempts = models.PositiveSmallIntegerField(default=0)  # counted before the work
    fence = models.PositiveIntegerField(default=0)  # raised by every claim; what came of it matches it
    due_at = models.DateTimeField(db_default=Now())
    lease_expires_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=80, null=True)  # of the last try
    error = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            # gathering: one on its way, however many gather at once
            models.UniqueConstraint(
                fields=("version", "channel", "kind"),
                condition=Q(status="pending"),
                name="message_pending_once",
            ),
            models.CheckConstraint(
                condition=Q(status="pending", finished_at__isnull=True)
                | (~Q(status="pending") & Q(finished_at__isnull=False)),
                name="message_final_has_end",
            ),
        )
        indexes = (
            models.Index(F("due_at"), name="message_due", condition=Q(status="pending")),  # sweep, claim
            models.Index(F("version"), F("channel"), F("id"), name="message_newest"),  # gathering
        )

    def __str__(self) -> str:
        return f"{self.kind} by {self.channel} ({self.status})"


class Notice(models.Model):
    """A failed run and a channel by which it is to be told. Written with the failure, never deleted."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey("executions.Run", models.PROTECT, related_name="notices", db_index=False)
    workflow = models.ForeignKey(
        Workflow, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    version = models.ForeignKey(WorkflowVersion, models.PROTECT, related_name="+", db_index=False)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    at = models.DateTimeField()  # when the run failed
    handled_at = models.DateTimeField(null=True)  # put into a message, or counted
    message = models.ForeignKey(NoticeMessage, models.PROTECT, null=True, related_name="notices")

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("run", "channel"), name="notice_once"),)
        indexes = (
            # sweep and gathering: a skip scan over what is open
            models.Index(
                F("version"), F("channel"), F("id"), name="notice_open", condition=Q(handled_at__isnull=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.run_id} by {self.channel}"


class NoticeSecret(models.Model):
    """What a workflow's notices are signed with: written with a draft, never read back."""

    workflow = models.OneToOneField(Workflow, models.CASCADE, primary_key=True, related_name="notice_secret")
    ciphertext = models.TextField()  # bound to `notice-secret:<workflow id>`
    last4 = models.CharField(max_length=4)
    set_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"…{self.last4}"
