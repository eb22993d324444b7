"""A claim whose connection broke while PostgreSQL was still at it was made again, and found nothing.

The first one committed a moment later: its steps were in nobody's hands, each cost a lease and counted as lost.
Whoever asks what became of a claim has to wait for its end.
"""

from __future__ import annotations

import threading

import pytest
from django.db import transaction

from executions import worker
from executions.leases import worker_name
from executions.models import Attempt, Run, StepRun
from tests.bellboy import Bellboy
from tests.concurrency import race, wait_until_blocked
from tests.database import django_through_a_proxy
from tests.scripted import ScriptedSlow
from tests.staging import a_queued_step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]


def test_given_a_claim_that_waits_when_its_connection_breaks_then_what_it_takes_is_worked_on(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    step = a_queued_step()
    with django_through_a_proxy() as line:
        is_locked, may_end, is_over = threading.Event(), threading.Event(), threading.Event()

        def sweep() -> None:  # it holds the step's row for as long as it takes to ring for it
            with transaction.atomic():
                StepRun.objects.select_for_update().get(pk=step.pk)
                is_locked.set()
                assert may_end.wait(10)

        def work() -> None:
            assert is_locked.wait(10)
            try:
                worker.execute([step.pk])
            finally:
                is_over.set()

        def break_it() -> None:
            assert is_locked.wait(10)
            wait_until_blocked()
            (claiming,) = [one for one in line._lines if one.is_losing_answers]
            claiming.end()
            is_over.wait(1)  # before the mend it gave up at once
            may_end.set()

        line.lose_the_answer_to(worker_name().encode())  # a parameter: what prepares the statement has none
        assert race(sweep, work, break_it) == [None] * 3

    assert Attempt.objects.get().outcome == "ok"
    assert Run.objects.get().status == "completed"
    assert len(slow_step.sent) == 1
