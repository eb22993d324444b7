"""What an attempt's error leads to: pure decisions, every case of the policy."""

from __future__ import annotations

from typing import Any

import pytest

from executions.outcomes import Fail, Retry, decide, error_of, judge_lost
from executions.states import AttemptOutcome
from lightfield.kernel.errors import PermanentStepError, StepError, TransientStepError
from workflows.retry_policy import RetryPolicy

POLICY = RetryPolicy(max_attempts=3, base_seconds=10, cap_seconds=100)


def outcome(error: Exception, *, used: int = 1, policy: RetryPolicy = POLICY, **more: Any) -> Retry | Fail:
    return decide(
        error,
        attempt=used,
        used_attempts=used,
        policy=policy,
        **{"was_intended": True, "random": lambda: 0.0, **more},
    )


def unavailable(**more: Any) -> TransientStepError:
    return TransientStepError("http.unavailable", sent=True, answered=True, status_code=503, **more)


def test_a_transient_error_is_retried_after_the_backoff() -> None:
    verdict = outcome(unavailable(), used=2)

    assert isinstance(verdict, Retry)
    assert verdict.delay_seconds == 10  # half of 20 s is certain, and this randomness adds nothing
    assert verdict.outcome == AttemptOutcome.REFUSED
    assert verdict.error["metadata"] == {"status_code": 503, "attempt": 2}
    assert verdict.error["retryable"] is True


def test_what_was_sent_and_never_answered_is_unknown() -> None:
    verdict = outcome(TransientStepError("http.connection_lost", sent=True))

    assert isinstance(verdict, Retry)
    assert verdict.outcome == AttemptOutcome.UNKNOWN


def test_what_was_never_sent_is_known_to_have_had_no_effect() -> None:
    verdict = outcome(TransientStepError("http.connect_failed"))

    assert isinstance(verdict, Retry)
    assert verdict.outcome == AttemptOutcome.REFUSED


@pytest.mark.parametrize(
    ("wish", "delay"), [(60.0, 60.0), (1.0, 5.0), (None, 5.0), (1e9, 3600.0), (-5.0, 5.0)]
)
def test_retry_after_is_a_floor_of_at_most_an_hour(wish: float | None, delay: float) -> None:
    verdict = outcome(unavailable(retry_after=wish))

    assert isinstance(verdict, Retry)
    assert verdict.delay_seconds == delay


def test_given_no_attempt_left_then_it_fails_with_the_last_error() -> None:
    verdict = outcome(unavailable(), used=3)

    assert isinstance(verdict, Fail)
    assert (verdict.error["code"], verdict.outcome) == ("http.unavailable", AttemptOutcome.REFUSED)
    assert verdict.effect == "by_attempts"


def test_a_permanent_refusal_is_a_final_answer() -> None:
    verdict = outcome(PermanentStepError("http.client_error", sent=True, answered=True, status_code=404))

    assert isinstance(verdict, Fail)
    assert (verdict.outcome, verdict.effect, verdict.answer) == (
        AttemptOutcome.PERMANENT,
        "done",
        {"status_code": 404},
    )


def test_a_permanent_failure_before_anything_was_intended_decides_no_effect() -> None:
    verdict = outcome(PermanentStepError("step.invalid_output", answered=True), was_intended=False)

    assert isinstance(verdict, Fail)
    assert (verdict.effect, verdict.answer) == ("by_attempts", None)


def test_a_permanent_failure_without_an_answer_leaves_the_effect_to_the_attempts() -> None:
    verdict = outcome(PermanentStepError("http.invalid_answer", sent=True))

    assert isinstance(verdict, Fail)
    assert (verdict.outcome, verdict.effect) == (AttemptOutcome.UNKNOWN, "by_attempts")


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_status_that_the_author_lists_is_retried(is_listed: bool) -> None:
    policy = RetryPolicy(max_attempts=3, retry_on_status=(500,) if is_listed else ())
    error = PermanentStepError("http.server_error", sent=True, answered=True, status_code=500)

    verdict = outcome(error, policy=policy)

    assert isinstance(verdict, Retry) is is_listed
    assert verdict.error["retryable"] is is_listed


def test_an_error_that_nobody_declared_is_retried_as_unexpected() -> None:
    verdict = outcome(ZeroDivisionError("division by zero"))

    assert isinstance(verdict, Retry)
    assert verdict.error["code"] == "step.unexpected"
    assert verdict.error["message"] == "ZeroDivisionError: division by zero"
    assert verdict.outcome == AttemptOutcome.UNKNOWN  # it may have been raised after sending


def test_an_undeclared_error_before_the_intent_had_no_effect() -> None:
    verdict = outcome(ZeroDivisionError(), was_intended=False)

    assert isinstance(verdict, Retry)
    assert verdict.outcome == AttemptOutcome.REFUSED


@pytest.mark.parametrize(
    "error", [TransientStepError("http.timeout", sent=True, url_host="h"), ValueError("after sending?")]
)
def test_on_unknown_fail_ends_the_step_when_it_may_have_happened(error: Exception) -> None:
    verdict = outcome(error, on_unknown="fail")

    assert isinstance(verdict, Fail)
    assert verdict.error["code"] == "http.outcome_unknown"
    assert verdict.error["retryable"] is False
    assert verdict.error["metadata"]["cause"] in ("http.timeout", "step.unexpected")
    assert (verdict.outcome, verdict.effect) == (AttemptOutcome.UNKNOWN, "by_attempts")


@pytest.mark.parametrize("error", [unavailable(), TransientStepError("http.connect_failed")])
def test_on_unknown_fail_retries_what_is_known_not_to_have_happened(error: StepError) -> None:
    assert isinstance(outcome(error, on_unknown="fail"), Retry)


@pytest.mark.parametrize(
    ("lost_alone", "lost", "lost_last_alone", "gives_up"),
    [
        (0, 1, 0, None),
        (2, 9, 3, None),
        (3, 3, 3, "step.worker_lost"),
        (3, 4, 0, "step.worker_lost"),
        (0, 9, 3, None),
        (0, 10, 3, "step.worker_lost"),
        (0, 11, 2, None),
    ],
)
def test_the_third_witnessed_loss_alone_or_the_tenth_of_all_is_a_steps_own_fault(
    lost_alone: int, lost: int, lost_last_alone: int, gives_up: str | None
) -> None:
    verdict = judge_lost(
        lost_alone=lost_alone,
        lost=lost,
        lost_last_alone=lost_last_alone,
        was_intended=True,
        on_unknown="retry_same_key",
    )
    assert verdict.gives_up == gives_up


@pytest.mark.parametrize(("was_intended", "gives_up"), [(True, "http.outcome_unknown"), (False, None)])
def test_on_unknown_fail_gives_a_lost_step_up_once_it_was_intended(
    was_intended: bool, gives_up: str | None
) -> None:
    lost = judge_lost(lost_alone=0, lost=1, lost_last_alone=0, was_intended=was_intended, on_unknown="fail")
    assert lost.gives_up == gives_up


@pytest.mark.parametrize(
    "metadata", [{"x": "\0"}, {"x": float("nan")}, {"x": object()}, {"x": "long" * 10_000}, {1: "key"}]
)
def test_metadata_that_cannot_be_kept_is_dropped_and_says_so(metadata: dict[Any, Any]) -> None:
    error = PermanentStepError("config.invalid")
    error.metadata = metadata

    kept = error_of(error, retryable=False, attempt=2)["metadata"]

    assert kept.pop("metadata_dropped").startswith("payload.")
    assert kept == {"attempt": 2}


def test_a_message_is_made_storable_and_bounded() -> None:
    message = error_of(PermanentStepError("config.invalid", "a\0b\ud800" + "c" * 5000), retryable=False)[
        "message"
    ]

    assert message.startswith("a\ufffdb?c")
    assert len(message) == 2000
