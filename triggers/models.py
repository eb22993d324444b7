"""Trigger: what starts a workflow, kept for ever. OutboxEvent: something happened that it fires on.

Tick: one instant of a schedule, fired.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Now

from lightfield.kernel.ids import uuid7
from lightfield.kernel.stored_json import StoredJSON
from triggers.deliveries import models as _of_deliveries  # noqa: F401  Django looks for models here
from workflows.models import Workflow, WorkflowVersion


class Trigger(models.Model):
    """What starts a workflow. One row per workflow for life: publishing changes its config, never its URL or keys."""

    id = models.BigAutoField(primary_key=True)
    workflow = models.OneToOneField(Workflow, models.PROTECT, related_name="trigger")
    kind = models.CharField(max_length=20, blank=True, help_text="Empty until the workflow is published.")
    config = models.JSONField(default=dict)
    shard = models.PositiveSmallIntegerField(editable=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)  # sha256 hex: to find
    token_ciphertext = models.TextField(editable=False)  # AES-GCM bound to this row: to show
    signing = (
        models.CharField(  # how the published webhook is signed: the name of a preset; empty: not at all
            max_length=40, default="", db_default="", editable=False
        )
    )
    # The address before this one, which senders may still use until then. Null: it ended when this one was made.
    previous_token_hash = models.CharField(max_length=64, unique=True, null=True, editable=False)
    previous_token_until = models.DateTimeField(null=True, editable=False)
    # Of a schedule, written by `triggers.cursors` only. Up to `settled_until` everything has fired or never will.
    scheduled_from = models.DateTimeField(null=True, editable=False)  # published or resumed: from here on
    settled_until = models.DateTimeField(null=True, editable=False)
    # When somebody looks next: the first instant behind it, after a failure a little later. Null: nothing is due.
    next_due_at = models.DateTimeField(null=True, editable=False)
    # The release of the time zone data that said so, as IANA spells it: "2026f". In byte order a later one is greater.
    zone_data = models.CharField(max_length=20, default="", db_default="", db_collation="C", editable=False)
    # Seconds: what the zone's clock was ahead of UTC at `settled_until` by those data.
    zone_offset = models.IntegerField(null=True, editable=False)
    zone_since = models.DateTimeField(null=True, editable=False)  # before, other data said what was due
    failures = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)  # in a row
    error_code = models.CharField(max_length=80, null=True, editable=False)  # set aside
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = (
            # record capture: who watches this entity?
            models.Index(
                KeyTextTransform("entity", "config"), name="trigger_of_entity", condition=Q(kind="record")
            ),
            models.Index(  # ticks and sweep: what is due, the longest first
                F("next_due_at"), name="trigger_due", condition=Q(next_due_at__isnull=False)
            ),
            models.Index(  # sweep: whose next instant was computed with older time zone data
                F("zone_data"),
                name="trigger_zone_data",
                condition=Q(next_due_at__isnull=False, failures=0),
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind or 'unpublished'} trigger of {self.workflow.name}"


class WebhookSecret(models.Model):
    """What a sender signs with. Written by `triggers.webhook_secrets` only; the secret itself is shown when it is made."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    trigger = models.ForeignKey(Trigger, models.PROTECT, related_name="webhook_secrets")
    signing = models.CharField(
        max_length=40
    )  # as in Trigger: for a webhook signed otherwise it verifies nothing
    ciphertext = models.TextField(editable=False)  # AES-GCM bound to this row
    last4 = models.CharField(max_length=4)  # for people, to tell two apart
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)  # null: until somebody ends it

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.signing} secret …{self.last4}"


class RecentBody(models.Model):
    """A body that came signed under a key that was not: within ten minutes the same is the same event.

    Written with its event by `triggers.outbox` only, and forgotten by the sweep.
    """

    id = models.BigAutoField(primary_key=True)
    trigger = models.ForeignKey(Trigger, models.PROTECT, related_name="+", db_index=False)
    body_digest = models.BinaryField(max_length=32)  # sha256
    event_id = models.UUIDField()
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (models.UniqueConstraint(fields=("trigger", "body_digest"), name="recent_body_once"),)
        indexes = (models.Index(F("seen_at"), name="recent_body_age"),)  # the sweep: what is over

    def __str__(self) -> str:
        return f"A body of {self.seen_at:%Y-%m-%d %H:%M:%S} UTC"


class EventStatus(models.TextChoices):
    PENDING = "pending", "Pending"  # captured; the dispatcher moves it on
    DISPATCHED = "dispatched", "Dispatched"  # final: its run exists
    IGNORED = (
        "ignored",
        "Ignored",
    )  # final: workflow archived, its own change, or the chain too deep; the code says which
    POISON = "poison", "Poison"  # three dispatches failed; a person dispatches it again


class OutboxEvent(models.Model):
    """It happened. Written in the transaction of its cause, by `triggers.outbox` or `triggers.records` only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # The database does not look at these references: they come from the rows that the INSERT itself selects, nobody
    # deletes a trigger or a version, `verify` looks (event-belongs-to-its-workflow), and at COMMIT they cost as much as
    # the event. Nor does it look whether small numbers of ours are below nought.
    trigger = models.ForeignKey(
        Trigger, models.PROTECT, related_name="events", db_index=False, db_constraint=False
    )
    workflow = models.ForeignKey(
        Workflow, models.PROTECT, related_name="events", db_index=False, db_constraint=False
    )
    # The version that was active at capture: what the run will execute, whatever is published meanwhile.
    version = models.ForeignKey(
        WorkflowVersion, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    source = models.CharField(max_length=10)  # webhook, manual, record, schedule, test: the scope of the key
    idempotency_key = models.CharField(max_length=255, null=True)
    body_digest = models.BinaryField(max_length=32, null=True)  # sha256 of the payload, to compare repeats
    payload = models.JSONField(decoder=StoredJSON)
    shard = models.SmallIntegerField()
    trace_id = models.CharField(max_length=32)
    depth = models.SmallIntegerField(default=0)  # how many runs led to it
    caused_by = models.UUIDField(null=True)  # the run that led to it; no foreign key: the arrow stays one-way
    status = models.CharField(max_length=10, choices=EventStatus.choices, default=EventStatus.PENDING)
    tries = models.SmallIntegerField(default=0)  # dispatches that failed
    error_code = models.CharField(max_length=80, null=True)
    captured_at = models.DateTimeField(db_default=Now())
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            # Without the events that have no key: an index costs each of them. That statuses are spelled as above `verify`
            # looks; a CHECK is read anew from the catalogue by each statement.
            models.UniqueConstraint(
                fields=("trigger", "source", "idempotency_key"),
                condition=Q(idempotency_key__isnull=False),
                name="event_key_once",
            ),
        )
        indexes = (
            # dispatch: skip scan over workflows, then the oldest of each
            models.Index(
                F("shard"), F("workflow"), F("id"), name="event_pending", condition=Q(status="pending")
            ),
            models.Index(F("workflow"), F("id"), name="event_of_workflow"),  # lists in admin and API
            # what a run led to
            models.Index(
                F("caused_by"), F("id"), name="event_caused_by", condition=Q(caused_by__isnull=False)
            ),
            models.Index(
                F("status"), F("id"), name="event_stuck", condition=Q(status__in=["poison", "ignored"])
            ),
        )

    def __str__(self) -> str:
        return f"Event {self.id} ({self.status})"


class UncapturedWrite(models.Model):
    """Watched records that were changed past Django, noted by the database statement by statement; nothing fired.

    Old notes are folded into one (`triggers.records.uncaptured`).
    """

    id = models.BigAutoField(primary_key=True)
    entity = models.CharField(max_length=100)
    operation = models.CharField(max_length=10)  # INSERT or UPDATE
    rows = models.BigIntegerField()
    statements = models.BigIntegerField(db_default=1)
    at = models.DateTimeField(db_default=Now())  # of the first
    last_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.operation} of {self.rows} {self.entity}"


class Decision(models.Model):
    """Why something did not start a workflow, or started it once only. Written by `triggers.decisions.collecting` only.

    At most the newest 1,000 of a trigger are kept, and while there are too many at once only a sample comes here;
    `DecisionCount` knows how many there were. What did start it is an `OutboxEvent`.
    """

    id = models.UUIDField(
        primary_key=True, default=uuid7, editable=False
    )  # UUIDv7 of `at`: one order with events
    trigger = models.ForeignKey(Trigger, models.PROTECT, related_name="decisions", db_index=False)
    at = models.DateTimeField()
    verdict = models.CharField(max_length=20)  # a Verdict; a new one is no migration
    subject = models.CharField(max_length=200, blank=True)  # what it was about, for people
    detail = models.JSONField(default=dict, decoder=StoredJSON)
    count = models.PositiveBigIntegerField(default=1)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(F("trigger"), F("id"), name="decision_of_trigger"),)  # lists, and the trim

    def __str__(self) -> str:
        return f"{self.verdict}: {self.subject or 'decision'}"


class DecisionCount(models.Model):
    """How many decisions of a kind were noted of a trigger, ever. Events are not counted here: they are rows."""

    id = models.BigAutoField(primary_key=True)
    trigger = models.ForeignKey(Trigger, models.PROTECT, related_name="decision_counts", db_index=False)
    verdict = models.CharField(max_length=20)
    count = models.PositiveBigIntegerField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("trigger", "verdict"), name="decision_count_once"),)

    def __str__(self) -> str:
        return f"{self.count} × {self.verdict}"


class Tick(models.Model):
    """A schedule was due and fired: the instant, and how late. Written by `triggers.ticking` only, with its event."""

    id = models.BigAutoField(primary_key=True)
    trigger = models.ForeignKey(Trigger, models.PROTECT, related_name="ticks", db_index=False)
    due_at = models.DateTimeField()
    fired_at = models.DateTimeField()
    late_by_seconds = models.FloatField()
    event = models.OneToOneField(OutboxEvent, models.PROTECT, related_name="tick")

    class Meta:
        ordering = ("-id",)
        constraints = (
            # one tick per instant, also found by it: lists of a trigger, the newest instant first
            models.UniqueConstraint(fields=("trigger", "due_at"), name="tick_once"),
        )

    def __str__(self) -> str:
        return f"Tick of {self.due_at:%Y-%m-%d %H:%M} UTC"
