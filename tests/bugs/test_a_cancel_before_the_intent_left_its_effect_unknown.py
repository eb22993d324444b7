"""A run was cancelled while its second attempt was claimed and not intended: nothing of it could leave any more.

The first one had been refused, so the effect was known not to have happened. But the cancel looked at the lease
alone, left the effect to an owner that had nothing to say of it, and the sweep called it `unknown`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from executions import admission, ending, reports, services, sweeper
from executions.claims import StepInHand
from executions.models import Attempt, Effect, Run, StepRun
from executions.outcomes import Retry
from executions.settling import settle
from executions.states import AttemptOutcome, RunStatus
from tests.bellboy import Bellboy
from tests.factories import BY
from tests.staging import a_claimed_step, claim, end_lease, everything, intend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]

REFUSAL = {"code": "http.unavailable", "message": "m", "retryable": True, "metadata": {}}


def refused() -> StepInHand:
    """A second attempt under a live lease, after one that was answered with a refusal."""
    first = a_claimed_step()
    intend(first)
    settle(reports.retried(first, Retry(0.0, REFUSAL, AttemptOutcome.REFUSED)))
    admission.admit("http")
    return claim(first.step_run_id, worker="second")


def lost() -> StepInHand:
    """The same after one whose worker died with the request out."""
    first = a_claimed_step()
    intend(first)
    end_lease(first.step_run_id)
    return claim(first.step_run_id, worker="second", in_cell=True)


def cancel(run_id: str) -> None:
    services.cancel_run(run_id=UUID(run_id), by=BY)


def time_out(run_id: str) -> None:
    Run.objects.update(deadline_at="2000-01-01T00:00:00Z")
    ending.end_run(run_id, status=RunStatus.FAILED, metadata={})


@pytest.mark.parametrize("end", [cancel, time_out])
@pytest.mark.parametrize(("before", "believed"), [(refused, "abandoned"), (lost, "unknown")])
def test_given_an_attempt_that_intended_nothing_when_its_run_is_ended_then_the_effect_is_what_others_made_of_it(
    bellboy: Bellboy, before: Any, believed: str, end: Any
) -> None:
    step = before()

    end(step.run_id)

    assert Attempt.objects.get(number=2).outcome == "cancelled"
    assert Effect.objects.get().status == believed
    assert StepRun.objects.get().lease_expires_at is None  # there is nothing to wait for
    assert not sweeper.sweep().has_undecided_effects


def test_and_its_worker_can_intend_nothing_any_more(bellboy: Bellboy) -> None:
    step = refused()
    cancel(step.run_id)
    ended = everything()

    assert intend(step) == {}
    assert everything() == ended
