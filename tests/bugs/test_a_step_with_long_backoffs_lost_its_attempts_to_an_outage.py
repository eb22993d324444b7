"""What a step waits for its host was counted from its first attempt, its own backoffs included: one that is tried once a day
failed with `http.circuit_open` or `http.retry_budget` at the first outage that it met, most of its attempts unused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings

from executions.claims import StepInHand
from executions.egress.breaker import CIRCUIT_OPEN, HELD, RETRY_BUDGET
from executions.holds import Hold, held
from executions.outcomes import Fail
from lightfield.kernel.errors import TransientStepError

DAY = 86_400.0


def a_step(**known: Any) -> StepInHand:
    step = StepInHand(
        step_run_id=1,
        run_id="r",
        workflow_id="w",
        version_id=1,
        position=0,
        key="call",
        type="http_request",
        lane="http",
        status="running",
        fence=2,
        attempt=2,
        lost=0,
        max_attempts=10,
        trace_id="t",
        run_status="running",
        payload=None,
        workflow_name="W",
        version_number=1,
    )
    return replace(step, **known)


def never(step: StepInHand, host: str) -> float:
    return 0.0


def two_days(step: StepInHand, host: str) -> float:
    return 2 * DAY


def refused(code: str) -> TransientStepError:
    return TransientStepError(code, "It waits.", retry_after=5.0, circuit="https://api.example")


@pytest.mark.parametrize("code", sorted(HELD))
def test_given_a_step_that_was_sent_two_days_ago_when_its_host_fails_now_then_it_waits_for_it(code):
    verdict = held(refused(code), a_step(seconds=2 * DAY, error_code="http.unavailable"), never)

    assert isinstance(verdict, Hold)
    assert verdict.host == ("https://api.example" if code == CIRCUIT_OPEN else None)
    most = settings.LIGHTFIELD_CIRCUIT_HOLD_SECONDS if code == CIRCUIT_OPEN else 5.5
    assert 0 < verdict.delay_seconds <= most


@pytest.mark.parametrize("before", [CIRCUIT_OPEN, RETRY_BUDGET])
def test_given_a_step_that_was_put_back_and_is_older_than_it_may_then_it_fails(before):
    assert isinstance(held(refused(CIRCUIT_OPEN), a_step(seconds=2 * DAY, error_code=before), two_days), Fail)
