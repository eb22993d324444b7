"""jsonb writes 1e300 as an integer of 301 digits; templates then rendered that, and the request was refused."""

from __future__ import annotations

import pytest

from executions import worker
from tests.bellboy import Bellboy
from tests.scripted import ScriptedSlow
from tests.staging import a_queued_step, slow


@pytest.mark.django_db(transaction=True)
def test_a_large_float_reaches_the_step_as_it_was_sent(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    slow_step.script = lambda request, context: {"value": request["value"]}
    second = slow("second") | {"config": {"value": "{{ call.value }}"}}
    step = a_queued_step(slow(), second, payload={"n": 1e300})

    worker.execute([step.pk])

    values = [request["value"] for request, _ in slow_step.sent]
    assert values == [1e300, 1e300]
    assert {type(value) for value in values} == {float}
