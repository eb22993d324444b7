"""A 500 that a step opted in is a permanent error by class: its Retry-After stood in the metadata and was not read."""

from __future__ import annotations

from executions.outcomes import Retry, decide
from lightfield.kernel.errors import PermanentStepError
from workflows.retry_policy import RetryPolicy


def test_an_opted_in_status_waits_as_long_as_the_receiver_asks() -> None:
    error = PermanentStepError(
        "http.server_error", sent=True, answered=True, status_code=500, retry_after=90.0
    )

    verdict = decide(
        error,
        attempt=1,
        used_attempts=1,
        policy=RetryPolicy(base_seconds=1.0, retry_on_status=(500,)),
        was_intended=True,
        random=lambda: 0.5,
    )

    assert isinstance(verdict, Retry)
    assert verdict.delay_seconds == 90.0
