"""Cancel waits for a worker that commits its intent at that moment, and then judged by what it had read before.

The attempt was closed as `cancelled`, without effect, although its request was about to leave.
"""

from __future__ import annotations

import threading

import pytest
from django.db import transaction

from executions import services
from executions.models import Attempt, Effect
from tests.bellboy import Bellboy
from tests.concurrency import race, wait_until_blocked
from tests.factories import BY
from tests.scripted import ScriptedSlow
from tests.staging import a_claimed_step, intend


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("promises_kept")
def test_given_an_intent_about_to_commit_when_the_run_is_cancelled_then_the_attempt_is_unknown(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    step = a_claimed_step()
    is_written, may_commit = threading.Event(), threading.Event()

    def worker() -> None:
        with transaction.atomic():
            assert intend(step)
            is_written.set()
            assert may_commit.wait(10)

    def canceller() -> object:
        assert is_written.wait(10)
        return services.cancel_run(run_id=step.run_id, by=BY)  # type: ignore[arg-type]

    def referee() -> None:
        assert is_written.wait(10)
        wait_until_blocked()
        may_commit.set()

    _, run, _ = race(worker, canceller, referee)

    assert run.status == "cancelled"
    assert Attempt.objects.get().outcome == "unknown"
    assert Effect.objects.get().status == "intent"  # its owner may still tell, or the sweep decides
