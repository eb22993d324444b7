"""API keys (hashed), credentials (sealed), the audit trail, and stored answers of idempotent requests."""

from __future__ import annotations

from django.db import models
from django.db.models import F
from django.db.models.functions import Now

from lightfield.kernel.ids import uuid7


class Scope(models.TextChoices):
    """What a key may do; each scope includes the ones before it."""

    VIEWER = "viewer", "Viewer: read"
    OPERATOR = "operator", "Operator: run, cancel, replay"
    BUILDER = "builder", "Builder: create, edit, publish"
    ADMIN = "admin", "Admin: everything"


class ApiKey(models.Model):
    """A bearer key. Only its sha256 is kept; the key itself is shown once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, editable=False)  # the first characters, to recognise it by
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.ADMIN)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)  # to the minute

    class Meta:
        verbose_name = "API key"
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Credential(models.Model):
    """A secret that steps send to the hosts it is bound to. Its value is never read back: see `access.credentials`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=40, unique=True)  # as templates call it: {{ secret.<name> }}
    description = models.CharField(max_length=200, blank=True)
    hosts = models.JSONField(default=list)  # exact ones, normal form: see `access.credential_hosts`
    # Sealed by the key ring and bound to id, name and hosts: a row changed in the database no longer opens.
    ciphertext = models.TextField(editable=False)
    last4 = models.CharField(max_length=4, blank=True, editable=False)  # empty unless the value is long
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.CharField(max_length=200, editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_by = models.CharField(max_length=200, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)  # to the minute

    class Meta:
        verbose_name = "secret"  # what people know it as: {{ secret.name }}
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class AuditEntry(models.Model):
    """Who did what to what, when. Append-only, also in the database."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=60)  # workflow.published, run.cancelled, …
    subject = models.CharField(max_length=100)  # the id it was done to
    metadata = models.JSONField(default=dict)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ("-id",)
        indexes = (models.Index(F("subject"), F("id"), name="audit_of_subject"),)

    def __str__(self) -> str:
        return f"{self.actor}: {self.action} {self.subject}"


class StoredAnswer(models.Model):
    """The answer to a POST with an Idempotency-Key: given again to the same request, for 30 days."""

    id = models.BigAutoField(primary_key=True)
    principal = models.CharField(max_length=100)  # the key or user: keys of two callers never meet
    key = models.CharField(max_length=255)
    # A keyed hash of method, path and body: a plain one would let whoever reads the table guess at a secret that was sent.
    request_digest = models.BinaryField(max_length=32)
    status_code = models.PositiveSmallIntegerField(null=True)  # NULL while it is being answered
    body = models.TextField(
        blank=True, db_default=""
    )  # sealed by the key ring: an answer may show a webhook token
    created_at = models.DateTimeField(db_default=Now())
    lease_expires_at = models.DateTimeField()  # an unanswered row older than this was left by a crash

    class Meta:
        constraints = (models.UniqueConstraint(fields=("principal", "key"), name="answer_key_once"),)
        indexes = (models.Index(F("created_at"), name="answer_age"),)

    def __str__(self) -> str:
        return f"{self.principal} {self.key}"
