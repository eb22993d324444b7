"""Hosts that fail or did, with how many steps wait for each."""

from __future__ import annotations

from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from executions.circuits.models import Circuit
from executions.models import StepRun


def with_held(circuits: QuerySet[Circuit]) -> QuerySet[Circuit]:
    """Each with `steps_held`: one walk along the part of an index that holds nothing else."""
    held = StepRun.objects.filter(
        status="waiting", held_host__isnull=False, held_host=OuterRef("host")
    ).order_by()
    number = held.values("held_host").annotate(number=Count("pk")).values("number")
    return circuits.annotate(steps_held=Coalesce(Subquery(number, output_field=IntegerField()), 0))
