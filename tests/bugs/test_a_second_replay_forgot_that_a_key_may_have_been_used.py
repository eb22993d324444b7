"""A request may have happened; its replay kept the key but could not send; the next replay took a new key.

The receiver would have acted twice: once in the first run, once under the third run's key.
"""

from __future__ import annotations

import pytest

from executions import admission, services
from executions.models import Effect, Run
from lightfield.kernel import sql
from lightfield.kernel.errors import PermanentStepError
from tests.bellboy import Bellboy
from tests.factories import BY
from tests.scripted import ScriptedSlow
from tests.staging import a_run, slow


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("promises_kept")
def test_given_an_unknown_effect_then_every_later_replay_keeps_its_key(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    errors = iter(
        [
            PermanentStepError("http.timeout", sent=True),  # it may have happened
            PermanentStepError("http.connect_failed", sent=False),  # this time it did not
        ]
    )

    def script(request: object, context: object) -> dict[str, object]:
        for error in errors:
            raise error
        return {"status_code": 200}

    slow_step.script = script
    run = a_run(slow())
    admission.admit("http")
    bellboy.answer_all()
    for _ in range(2):
        run = services.replay_run(run_id=run.pk, by=BY)
        bellboy.answer_all()

    assert Run.objects.get(pk=run.pk).status == "completed"
    assert list(Effect.objects.order_by("pk").values_list("status", flat=True)) == [
        "unknown",
        "unknown",
        "done",
    ]
    assert sql.rows("SELECT count(DISTINCT key)::int FROM executions_effect", {}) == [(1,)]
