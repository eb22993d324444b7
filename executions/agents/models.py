"""AgentTurn: what an agent did, in order: each answer of its model and each tool call."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class TurnKind(models.TextChoices):
    MODEL = "model", "Model"  # the model answered
    TOOL = "tool", "Tool"  # it called a tool


class AgentTurn(models.Model):
    """One answer of a model, or one tool call. Written by `executions.agents.journal` alone.

    A row with `finished_at` is what happened, and is never done again. One without is a request that may have been sent.
    """

    id = models.BigAutoField(primary_key=True)
    step_run = models.ForeignKey("executions.StepRun", models.PROTECT, related_name="turns", db_index=False)
    number = models.PositiveIntegerField()  # 1, 2, … within the step
    kind = models.CharField(max_length=5, choices=TurnKind.choices)
    key = models.CharField(max_length=160)  # idempotency key: <the step's>:turn_<n>, or <the step's>:call_<n>
    name = models.CharField(max_length=200)  # of the model as the provider says it, or of the tool
    # Of a tool call: {"id": the provider's, "arguments": {…}}, and "request" if one was frozen.
    asked = models.JSONField(null=True)
    # Of a model: {"text", "calls": [{"id", "name", "arguments"}], "finish", "raw"}. Of a tool: what the model was told.
    answer = models.JSONField(null=True)
    error_code = models.CharField(max_length=80, null=True)  # a call that was refused or failed
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    cost = models.DecimalField(
        max_digits=14, decimal_places=8, null=True
    )  # US dollars; null: no price is known
    fence = models.PositiveIntegerField()
    attempt = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("step_run_id", "number")
        constraints = (
            models.UniqueConstraint(fields=("step_run", "number"), name="turn_number_once"),
            models.UniqueConstraint(fields=("step_run", "key"), name="turn_key_once"),
            models.CheckConstraint(condition=Q(kind__in=TurnKind.values), name="turn_kind_known"),
        )

    def __str__(self) -> str:
        return f"{self.number} {self.kind} {self.name}"
