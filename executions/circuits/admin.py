"""Hosts that fail, in the admin: which, since when, what waits for them; and "probe now"."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from executions.circuits import services
from executions.circuits.models import Circuit, CircuitState
from executions.circuits.selectors import with_held
from lightfield.access import cells
from lightfield.access.look_only import LookOnlyAdmin

_BADGES = {CircuitState.OPEN: "failed", CircuitState.HALF_OPEN: "waiting", CircuitState.CLOSED: "ok"}


class CircuitAdmin(LookOnlyAdmin):
    plural = "Failing hosts"
    nothing = "No host fails"  # said by a list that is empty
    list_display = ("name", "standing", "newest_failure", "waiting", "released", "opened", "next_probe")
    list_display_links = None
    ordering = ("host",)
    actions = ("probe_now",)  # type: ignore[assignment]  # of other lists there are none

    def get_queryset(self, request: HttpRequest) -> QuerySet[Circuit]:
        return with_held(super().get_queryset(request))

    def has_probe_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("executions.probe_circuit"))

    @admin.action(description="Probe now", permissions=["probe"])
    def probe_now(self, request: HttpRequest, circuits: QuerySet[Circuit]) -> None:
        for circuit in circuits:
            if services.probe_now(host=circuit.host, by=request.user.get_username()):
                messages.success(request, f"{circuit.host} is probed within a second or two.")
            else:
                messages.warning(request, f"Nothing was done: {circuit.host} is not held back.")

    @admin.display(description="Host")
    def name(self, circuit: Circuit) -> str:
        return circuit.host

    @admin.display(description="Circuit")
    def standing(self, circuit: Circuit) -> SafeString:
        state = CircuitState(circuit.state)
        return cells.badge(_BADGES[state], state.label)

    @admin.display(description="Newest failure")
    def newest_failure(self, circuit: Circuit) -> SafeString:
        return cells.code(circuit.code)

    @admin.display(description="Steps held")
    def waiting(self, circuit: Circuit) -> int:
        return int(circuit.steps_held)  # type: ignore[attr-defined]  # annotated

    @admin.display(description="Released a second")
    def released(self, circuit: Circuit) -> str | None:
        return f"{circuit.rate:.0f}" if circuit.rate else None

    @admin.display(description="Opened")
    def opened(self, circuit: Circuit) -> SafeString | None:
        return cells.moment(circuit.opened_at)

    @admin.display(description="Next probe")
    def next_probe(self, circuit: Circuit) -> SafeString | None:
        return cells.moment(circuit.retry_at) if circuit.state == CircuitState.OPEN else None
