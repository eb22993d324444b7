"""Circuit: a host that fails, or did within the last minute. Healthy hosts have no row."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class CircuitState(models.TextChoices):
    CLOSED = "closed", "Closed"  # it failed a moment ago; requests go out, and are counted
    OPEN = "open", "Open"  # nothing goes out until retry_at; then a probe
    HALF_OPEN = (
        "half_open",
        "Half open",
    )  # a probe is out, or has succeeded: steps are released at a rising rate


class Circuit(models.Model):
    """What all workers know of one host. Written by `executions.circuits` alone."""

    host = models.CharField(
        primary_key=True, max_length=300
    )  # scheme://name, with the port if it is not the usual
    state = models.CharField(max_length=10, choices=CircuitState.choices)
    code = models.CharField(max_length=80)  # of the newest failure
    window_at = models.DateTimeField(
        db_default=Now()
    )  # while closed: since when calls and failures are counted
    calls = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    opened_at = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(
        null=True
    )  # open: when the next probe may go; half open: another, if all is silent
    failed_probes = models.PositiveIntegerField(default=0)  # in a row: the distance between probes doubles
    rate = models.FloatField(default=0)  # half open: releases a second
    ok = models.PositiveIntegerField(default=0)  # answers to released requests since the sweep looked last
    failed = models.PositiveIntegerField(default=0)
    turned_at = models.DateTimeField(db_default=Now())  # when the sweep looked last
    heard_at = models.DateTimeField(db_default=Now())  # when a worker told of it last

    class Meta:
        ordering = ("host",)
        verbose_name = "failing host"
        constraints = (
            models.CheckConstraint(condition=Q(state__in=CircuitState.values), name="circuit_state_known"),
            models.CheckConstraint(
                condition=Q(state=CircuitState.CLOSED) | Q(opened_at__isnull=False, retry_at__isnull=False),
                name="circuit_open_has_times",
            ),
        )
        permissions = (("probe_circuit", "Can have a failing host probed now"),)

    def __str__(self) -> str:
        return f"{self.host} ({self.state})"
