"""The first attempt of a step that a worker continued with sent its request as rendered, later ones as kept.

PostgreSQL keeps numbers and objects, not their spelling: 1e16 comes back as an integer, a tuple as a list, keys in
another order. Under one key every attempt has to send the same.
"""

from __future__ import annotations

from typing import Any

import pytest

from executions import admission, worker
from executions.models import Effect
from lightfield.kernel import sql
from lightfield.kernel.errors import TransientStepError
from tests.bellboy import Bellboy
from tests.scripted import ScriptedSlow
from tests.staging import a_queued_step, slow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def test_every_attempt_of_a_continuation_sends_what_is_kept(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    slow_step.freeze = lambda config: {"longer": (1, 2), "b": 1e16, "a": 1}  # type: ignore[method-assign]
    spelled: list[str] = []

    def script(request: Any, context: Any) -> dict[str, Any]:
        if context.step_key == "two":
            spelled.append(repr(request))
            if len(spelled) == 1:
                raise TransientStepError("http.timeout", sent=False)
        return {"ok": True}

    slow_step.script = script
    step = a_queued_step(slow("one"), slow("two"))
    worker.execute([step.pk])
    sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp() WHERE status = 'waiting'", {})
    admission.admit("http")
    two = Effect.objects.get(key__endswith=":two").step_run_id
    worker.execute([two])

    assert len(spelled) == 2
    assert spelled[0] == spelled[1]
