"""The API of hosts that fail."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from executions.circuits.models import Circuit, CircuitState
from executions.circuits.selectors import with_held
from lightfield.access.auth import Right
from lightfield.access.models import Scope
from lightfield.access.pagination import NewestFirst
from lightfield.access.viewsets import ApiViewSet


class CircuitSerializer(serializers.Serializer[Circuit]):
    """A host that fails, or did a moment ago. Healthy hosts are not listed."""

    host = serializers.CharField(
        read_only=True, help_text="Scheme and name, with the port if it is not the usual one."
    )
    state = serializers.ChoiceField(
        CircuitState.choices,
        read_only=True,
        help_text="open: nothing is sent until `retry_at`; half_open: it is probed, or given its requests back.",
    )
    code = serializers.CharField(read_only=True, help_text="Of its newest failure.")
    steps_held = serializers.IntegerField(read_only=True, help_text="Steps that wait for it.")
    rate = serializers.FloatField(read_only=True, help_text="Steps released a second, while half open.")
    failed_probes = serializers.IntegerField(read_only=True, help_text="In a row.")
    opened_at = serializers.DateTimeField(read_only=True, allow_null=True)
    retry_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="When it is probed next.")
    heard_at = serializers.DateTimeField(read_only=True, help_text="When a worker told of it last.")


class ByHost(NewestFirst):
    by = "host"
    is_descending = False


class CircuitViewSet(ApiViewSet):
    """Look at the hosts that are held back. The sweep moves them on; a person may have one probed in the admin."""

    rights: ClassVar[dict[str, Right]] = {"list": Right(Scope.VIEWER, "executions.view_circuit")}
    queryset = Circuit.objects.all()
    serializer_class = CircuitSerializer
    pagination_class = ByHost

    @extend_schema(responses=CircuitSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Hosts that fail or did, by name."""
        queryset: Any = with_held(Circuit.objects.all())
        return self.page(queryset, CircuitSerializer)
