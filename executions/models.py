"""The rows of the engine. Only `executions.transitions` and `executions.dispatcher` write them.

Every statement that changes a run locks its row first (lane → event → run → step → attempt → effect →
timeline), so the run row is the mutex of its run. A run is live exactly while it has one live step.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from executions.agents import models as _of_agents  # noqa: F401  Django looks for models here
from executions.circuits import models as _of_circuits  # noqa: F401  Django looks for models here
from executions.notices import models as _of_notices  # noqa: F401  Django looks for models here
from executions.states import (
    FINAL_RUN,
    LIVE_RUN,
    LIVE_STEP,
    AttemptOutcome,
    EffectStatus,
    RunStatus,
    StepStatus,
)
from lightfield.kernel.ids import uuid7
from triggers.models import OutboxEvent
from workflows.models import Workflow, WorkflowVersion

ERROR_CODE_FORMAT = r"^[a-z]+\.[a-z0-9_]+$"


class Run(models.Model):
    """One execution of one published version, caused by one event. A replay is a new run of the same event."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event = models.ForeignKey(OutboxEvent, models.PROTECT, related_name="runs", db_index=False)
    generation = models.PositiveSmallIntegerField(default=1)  # 1, then one more per replay
    workflow = models.ForeignKey(
        Workflow, models.PROTECT, related_name="runs", db_index=False, db_constraint=False
    )
    version = models.ForeignKey(WorkflowVersion, models.PROTECT, related_name="runs", db_index=False)
    status = models.CharField(max_length=10, choices=RunStatus.choices, default=RunStatus.PENDING)
    seq = models.PositiveIntegerField(default=0)  # of the newest timeline entry
    last_at = models.DateTimeField(
        db_default=Now()
    )  # of the newest timeline entry: time never runs backwards
    trace_id = models.CharField(max_length=32)
    error_code = models.CharField(max_length=80, null=True)
    error = models.JSONField(null=True)  # {"code", "message", "retryable", "metadata"}
    replay_of = models.ForeignKey("self", models.PROTECT, null=True, related_name="replays", db_index=False)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)  # settings.timeout_seconds after creation
    # Its end counts in a row of failures: somebody wants to be told of them, or to have them pause the workflow.
    in_streak = models.BooleanField(default=False, db_default=False)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("event", "generation"), name="run_generation_once"),
            models.CheckConstraint(condition=Q(status__in=RunStatus.values), name="run_status_known"),
            models.CheckConstraint(
                condition=Q(status=RunStatus.FAILED, error_code__regex=ERROR_CODE_FORMAT)
                | (~Q(status=RunStatus.FAILED) & Q(error_code__isnull=True)),
                name="run_failed_has_code",
            ),
            models.CheckConstraint(
                condition=Q(status__in=FINAL_RUN, finished_at__isnull=False)
                | Q(status__in=LIVE_RUN, finished_at__isnull=True),
                name="run_final_has_end",
            ),
        )
        indexes = (
            models.Index(F("workflow"), F("id"), name="run_of_workflow"),  # lists
            models.Index(
                F("error_code"), F("id"), name="run_failed_by_code", condition=Q(error_code__isnull=False)
            ),
            models.Index(F("trace_id"), name="run_by_trace"),
            models.Index(
                F("deadline_at"), name="run_live", condition=Q(status__in=LIVE_RUN)
            ),  # sweep, verify
            # how many failed in a row; runs whose failures nobody waits for are not in it
            models.Index(
                F("workflow"),
                F("finished_at"),
                name="run_streak",
                condition=Q(in_streak=True, status__in=[RunStatus.COMPLETED, RunStatus.FAILED]),
            ),
        )
        permissions = (("cancel_run", "Can cancel runs"), ("replay_run", "Can replay runs"))

    def __str__(self) -> str:
        return f"Run {self.id} ({self.status})"


class StepRun(models.Model):
    """One step of one run: made when its turn comes, or as `skipped` when it never will."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, models.PROTECT, related_name="steps", db_index=False)
    workflow = models.ForeignKey(
        Workflow, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    position = models.PositiveSmallIntegerField()  # from 1
    key = models.CharField(max_length=40)
    type = models.CharField(max_length=60)
    lane = models.CharField(max_length=10)
    status = models.CharField(max_length=10, choices=StepStatus.choices)
    # Raised by every claim and by every decision to give the step up; each later write of a worker matches it.
    fence = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)  # counted before the work
    lost = models.PositiveIntegerField(default=0)  # attempts whose worker died; they use up no max_attempts
    lost_alone = models.PositiveIntegerField(
        default=0
    )  # of these, witnessed while nothing else ran in the process
    # Attempts that were put back before they sent anything, for their host's sake; they use up no max_attempts.
    held = models.PositiveIntegerField(default=0, db_default=0)
    # While it waits for a host that fails (`executions.circuits`): no lane's window and no admission knows of it.
    held_host = models.CharField(max_length=300, null=True)
    quarantined = models.BooleanField(default=False)  # its last worker died: runs in a process of its own
    max_attempts = models.PositiveSmallIntegerField()
    lease_expires_at = models.DateTimeField(null=True)
    owner = models.CharField(max_length=100, blank=True)
    due_at = models.DateTimeField(db_default=Now())
    rung_at = models.DateTimeField(null=True)
    rings = models.PositiveSmallIntegerField(default=0)  # bells since it last moved
    reused = models.BooleanField(default=False)  # taken over from the run that this one replays
    output = models.JSONField(null=True)
    error_code = models.CharField(max_length=80, null=True)
    error = models.JSONField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("position",)
        constraints = (
            models.UniqueConstraint(fields=("run", "position"), name="step_position_once"),
            # Not by its statuses: then it would cover what the lanes' indexes below are for (ADR 0012).
            models.UniqueConstraint(
                fields=("run",), condition=Q(finished_at__isnull=True), name="step_live_once"
            ),
            models.CheckConstraint(
                condition=Q(status__in=LIVE_STEP, finished_at__isnull=True)
                | (~Q(status__in=LIVE_STEP) & Q(finished_at__isnull=False)),
                name="step_finished_when_final",
            ),
            models.CheckConstraint(condition=Q(status__in=StepStatus.values), name="step_status_known"),
            models.CheckConstraint(
                condition=~Q(status=StepStatus.RUNNING) | Q(lease_expires_at__isnull=False),
                name="step_running_has_lease",
            ),
        )
        indexes = (
            # admission: skip scan over workflows, then the oldest due of each
            models.Index(
                F("lane"),
                F("workflow"),
                F("due_at"),
                F("id"),
                name="step_admit",
                condition=Q(status__in=["ready", "waiting"], held_host__isnull=True),
            ),
            # whom a host that failed is to get next
            models.Index(
                F("held_host"),
                F("due_at"),
                F("id"),
                name="step_held",
                condition=Q(status="waiting", held_host__isnull=False),
            ),
            # admission counts what is in flight; the sweep looks for expired leases and unanswered bells
            models.Index(
                F("lane"), F("workflow"), name="step_inflight", condition=Q(status__in=["queued", "running"])
            ),
        )

    def __str__(self) -> str:
        return f"{self.key} ({self.status})"


class Attempt(models.Model):
    """One try of a step. Written once: opened by the claim, closed by whatever ends it."""

    pk = models.CompositePrimaryKey("step_run_id", "number")
    step_run = models.ForeignKey(StepRun, models.PROTECT, related_name="tries", db_index=False)
    number = models.PositiveIntegerField()
    fence = models.PositiveIntegerField()
    worker = models.CharField(max_length=100, blank=True)
    alone = models.BooleanField(default=False)  # nothing else ran in its process
    witnessed = models.BooleanField(default=False, db_default=False)  # a living worker saw that process die
    started_at = models.DateTimeField(db_default=Now())
    intent_at = models.DateTimeField(null=True)  # from here on the far side may have acted
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, choices=AttemptOutcome.choices, null=True)
    error_code = models.CharField(max_length=80, null=True)
    error = models.JSONField(null=True)

    class Meta:
        ordering = ("step_run_id", "number")

    def __str__(self) -> str:
        return f"Attempt {self.number} ({self.outcome or 'open'})"


class Effect(models.Model):
    """The ledger: what a step means to do outside, committed before anything is sent, decided once."""

    id = models.BigAutoField(primary_key=True)
    scope = models.UUIDField()  # the run: a replay may send the same key under a row of its own
    key = models.CharField(max_length=120)  # the Idempotency-Key header, the same for every attempt
    step_run = models.ForeignKey(StepRun, models.PROTECT, related_name="effects")
    fence = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=EffectStatus.choices, default=EffectStatus.INTENT)
    request = models.JSONField()  # frozen: later attempts send this, never a new rendering
    request_digest = models.BinaryField(max_length=32)
    answer = models.JSONField(null=True)  # what is known of the final answer: {"status_code": …}
    created_at = models.DateTimeField(db_default=Now())
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("scope", "key"), name="effect_key_once"),
            models.CheckConstraint(condition=Q(status__in=EffectStatus.values), name="effect_status_known"),
            models.CheckConstraint(
                condition=Q(status=EffectStatus.INTENT, decided_at__isnull=True)
                | (~Q(status=EffectStatus.INTENT) & Q(decided_at__isnull=False)),
                name="effect_decided_once",
            ),
        )
        # settle_effects looks for undecided effects of ended steps
        indexes = (models.Index(F("id"), name="effect_undecided", condition=Q(status="intent")),)

    def __str__(self) -> str:
        return f"{self.key} ({self.status})"


class TimelineEntry(models.Model):
    """What happened to a run, in order. Append-only, also in the database (migration 0002)."""

    pk = models.CompositePrimaryKey("run_id", "seq")
    run = models.ForeignKey(Run, models.PROTECT, related_name="timeline", db_index=False)
    seq = models.PositiveIntegerField()
    type = models.CharField(max_length=20)
    step_key = models.CharField(max_length=40, null=True)
    attempt = models.PositiveIntegerField(null=True)
    at = models.DateTimeField()
    from_status = models.CharField(max_length=10, null=True)
    to_status = models.CharField(max_length=10, null=True)
    fence = models.PositiveIntegerField(null=True)
    metadata = models.JSONField(default=dict)

    class Meta:
        ordering = ("run_id", "seq")

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"


class Lane(models.Model):
    """One row per slow lane, locked by admission: how many steps may be in flight."""

    name = models.CharField(primary_key=True, max_length=10)
    # Called window in prose; the column avoids PostgreSQL's reserved word.
    width = models.PositiveIntegerField(help_text="Steps in flight at once, over all workers.")
    per_workflow = models.PositiveIntegerField(help_text="Of these, at most so many of one workflow.")
    most_queued = models.PositiveIntegerField(
        default=16, help_text="Of these, at most so many that no worker has taken yet."
    )

    def __str__(self) -> str:
        return self.name


class Heartbeat(models.Model):
    """A worker node that took a message from its queue and reached the database: alive all the way through."""

    node = models.CharField(primary_key=True, max_length=100)
    queue = models.CharField(max_length=10)
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.node} at {self.at:%H:%M:%S}"
