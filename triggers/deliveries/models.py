"""Delivery: a request that came to a workflow's address. Samples: real payloads kept to write steps by.

UnmatchedDay: how many requests came to no workflow's address.
"""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from lightfield.kernel.ids import uuid7
from lightfield.kernel.stored_json import StoredJSON


class DeliveryVerdict(models.TextChoices):
    """What was decided about a request. A new one is no migration."""

    ACCEPTED = "accepted", "Accepted"  # it became an event
    DUPLICATE = "duplicate", "Duplicate"  # its key came before, with the same body
    BODY_MISMATCH = "body_mismatch", "Body mismatch"  # its key came before, with another body
    BAD_SIGNATURE = "bad_signature", "Bad signature"  # the detail says which check failed
    THROTTLED = "throttled", "Throttled"  # too many at once; a row for each minute, not for each request
    MALFORMED = "malformed", "Malformed"  # the code says what could not be read
    PAUSED = "paused", "Paused"
    NOT_PUBLISHED = "not_published", "Not published"
    ARCHIVED = "archived", "Archived"
    OTHER_KIND = "other_kind", "Starts otherwise"  # no webhook starts this workflow now


ANSWERS: Final[dict[str, int]] = {  # what the sender was told; a malformed one by its code
    DeliveryVerdict.ACCEPTED: 202,
    DeliveryVerdict.DUPLICATE: 200,
    DeliveryVerdict.BODY_MISMATCH: 409,
    DeliveryVerdict.THROTTLED: 429,
    DeliveryVerdict.BAD_SIGNATURE: 404,
    DeliveryVerdict.PAUSED: 404,
    DeliveryVerdict.NOT_PUBLISHED: 404,
    DeliveryVerdict.ARCHIVED: 404,
    DeliveryVerdict.OTHER_KIND: 404,
}


class Delivery(models.Model):
    """One request to a known address. Written by `triggers.deliveries.statements` only, never changed, pruned by age
    and number. Where many came at once one row counts those of a minute.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # No foreign keys in the database, for the reasons given at `OutboxEvent`; `verify` looks.
    trigger = models.ForeignKey(
        "triggers.Trigger", models.PROTECT, related_name="deliveries", db_index=False, db_constraint=False
    )
    workflow = models.ForeignKey(
        "workflows.Workflow", models.PROTECT, related_name="deliveries", db_index=False, db_constraint=False
    )
    at = models.DateTimeField(db_default=Now())
    address = models.CharField(max_length=64)  # of the client, as this server sees it
    headers = models.JSONField(default=dict, decoder=StoredJSON)  # name: value, or "[redacted]"
    digest = models.BinaryField(max_length=32, null=True)  # sha256 of the body, if it was read
    size = models.BigIntegerField(null=True)  # bytes of the body, as read or as announced
    content_type = models.CharField(max_length=100)
    verdict = models.CharField(max_length=20)  # a DeliveryVerdict
    code = models.CharField(max_length=80, null=True)  # of the error catalogue
    detail = models.JSONField(default=dict, decoder=StoredJSON)  # not for everybody: which check failed
    answer = models.SmallIntegerField()  # HTTP status
    # What it became; of a repetition the event that was there first. No foreign key: it may outlive the event.
    event_id = models.UUIDField(null=True)
    body = models.JSONField(null=True, decoder=StoredJSON)  # of a mismatch, for inspection
    count = models.BigIntegerField(db_default=1)  # requests that this row tells of
    minute = models.DateTimeField(null=True)  # of a row that counts: which
    # Of one that a person sent again as a test: the delivery that it repeats.
    again_of = models.UUIDField(null=True)
    is_test = models.BooleanField(db_default=False)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "deliveries"
        constraints = (
            models.UniqueConstraint(
                fields=("trigger", "verdict", "minute"),
                name="delivery_minute_once",
                condition=Q(minute__isnull=False),
            ),
        )
        indexes = (
            # lists of a workflow, and the trim
            models.Index(F("workflow"), F("id"), name="delivery_of_workflow"),
            models.Index(F("event_id"), name="delivery_of_event", condition=Q(event_id__isnull=False)),
            models.Index(F("digest"), name="delivery_by_digest", condition=Q(digest__isnull=False)),
            # What is looked for by these is rare; the frequent case pays for none of them.
            models.Index(
                F("verdict"), F("id"), name="delivery_not_accepted", condition=~Q(verdict="accepted")
            ),
            models.Index(F("answer"), F("id"), name="delivery_not_202", condition=~Q(answer=202)),
            models.Index(F("code"), F("id"), name="delivery_by_code", condition=Q(code__isnull=False)),
        )

    def __str__(self) -> str:
        return f"Delivery {self.id} ({self.verdict})"

    @property
    def label(self) -> str:
        """`Accepted`, `Throttled ×1,200`, `Test`."""
        if self.is_test:
            return "Test"
        is_known = self.verdict in DeliveryVerdict.values
        label = str(DeliveryVerdict(self.verdict).label) if is_known else self.verdict
        return f"{label} ×{self.count:,}" if self.count > 1 else label


class Samples(models.Model):
    """The payloads of a workflow's last deliveries, taken when somebody asked for it. Real ones: somebody's data.

    Beside the definition and not in it: a version is kept for ever, and these must be removable.
    """

    trigger = models.OneToOneField(
        "triggers.Trigger", models.PROTECT, primary_key=True, related_name="samples"
    )
    payloads = models.JSONField(decoder=StoredJSON)  # [{"delivery_id", "event_id", "at", "payload"}, …]
    left_out = models.SmallIntegerField(default=0)  # too large to be kept
    taken_at = models.DateTimeField(db_default=Now())
    taken_by = models.CharField(max_length=200)

    class Meta:
        verbose_name_plural = "samples"

    def __str__(self) -> str:
        return f"{len(self.payloads)} samples"


class UnmatchedDay(models.Model):
    """How many requests came on a day (UTC) to addresses that belong to no workflow. Nothing else is kept of them."""

    day = models.DateField(primary_key=True)
    count = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.count} on {self.day}"
