"""What a person may do about a host that fails: have it probed now. Callers check the right; the deed is audited."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from executions.circuits.models import Circuit, CircuitState
from lightfield.access import audit


def probe_now(*, host: str, by: str) -> bool:
    """Let the next sweep send a probe, whatever the host wished. False when nothing is held back for it any more."""
    with transaction.atomic():
        shut = Circuit.objects.filter(host=host).exclude(state=CircuitState.CLOSED)
        if not shut.update(retry_at=Now()):
            return False
        audit.record(actor=by, action="circuit.probed", subject=host)
    return True
