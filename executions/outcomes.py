"""What an attempt led to, decided from an error and the retry policy. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from executions.states import AttemptOutcome
from lightfield.kernel import strict_json
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import LightfieldError, RequestRefused, StepError, TransientStepError
from workflows.retry_policy import RetryPolicy

OUTCOME_UNKNOWN = "http.outcome_unknown"
LONGEST_MESSAGE = 2000  # characters
LARGEST_METADATA = 16_384  # bytes
MOST_LOSSES_ALONE = 3  # a step that ended three processes in which nothing else ran is to blame itself
MOST_LOSSES = 10  # one that was never seen to, but lost its process so often, the last three times alone


@dataclass(frozen=True)
class Retry:
    """Try again after `delay_seconds`. `outcome` is the attempt's: refused, or unknown when it was sent."""

    delay_seconds: float
    error: dict[str, Any]
    outcome: AttemptOutcome


@dataclass(frozen=True)
class Fail:
    """The step is over. `effect`: "done" when the far side gave a final answer, else "by_attempts"."""

    error: dict[str, Any]
    outcome: AttemptOutcome
    effect: str
    answer: dict[str, Any] | None = None


def error_of(error: LightfieldError, *, retryable: bool, **more: Any) -> dict[str, Any]:
    """The stored shape: code, message, retryable, metadata. Always storable, whatever a step type put in."""
    return {
        "code": error.code,
        "message": storable(error.message),
        "retryable": retryable,
        "metadata": {**_kept(error.metadata), **more},
    }


def storable(text: str) -> str:
    """NUL and halves of surrogate pairs replaced: an error that cannot be written would never end its step."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()[:LONGEST_MESSAGE]


def _kept(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        strict_json.check(metadata, max_bytes=LARGEST_METADATA)
    except RequestRefused as refusal:
        return {"metadata_dropped": refusal.code}
    return metadata


def decide(
    error: Exception,
    *,
    attempt: int,
    used_attempts: int,
    policy: RetryPolicy,
    on_unknown: str = "retry_same_key",
    was_intended: bool,
    random: Callable[[], float],
) -> Retry | Fail:
    """Retry or give up.

    `attempt` is the number shown to people, `used_attempts` the count against the policy (attempts whose
    worker died use none). `was_intended`: the intent was committed, so an error that nobody foresaw may have
    been raised after sending. An error that no step type declares is retried: it may be the weather.
    """
    known = error if isinstance(error, StepError) else _unforeseen(error, sent=was_intended)
    sent_blindly = known.sent and not known.answered
    outcome = AttemptOutcome.UNKNOWN if sent_blindly else AttemptOutcome.REFUSED
    if sent_blindly and on_unknown == "fail":
        unknown = error_of(known, retryable=False, attempt=attempt, cause=known.code)
        unknown |= {"code": OUTCOME_UNKNOWN, "message": CATALOGUE[OUTCOME_UNKNOWN].meaning}
        return Fail(unknown, outcome, "by_attempts")
    if not _is_retryable(known, policy):
        final = known.answered and was_intended  # a step that sent nothing has no effect to decide
        return Fail(
            error_of(known, retryable=False, attempt=attempt),
            AttemptOutcome.UNKNOWN if sent_blindly else AttemptOutcome.PERMANENT,
            "done" if final else "by_attempts",
            {"status_code": known.metadata.get("status_code")} if final else None,
        )
    failure = error_of(known, retryable=True, attempt=attempt)
    if used_attempts >= policy.max_attempts:
        return Fail(failure, outcome, "by_attempts")
    wish = known.retry_after if isinstance(known, TransientStepError) else None
    if wish is None:  # a status that the step opted in: a permanent error, with the receiver's wish beside it
        wish = known.metadata.get("retry_after")
    return Retry(policy.delay_after(used_attempts, random=random, retry_after=wish), failure, outcome)


def _is_retryable(error: StepError, policy: RetryPolicy) -> bool:
    return error.retryable or error.metadata.get("status_code") in policy.retry_on_status


def _unforeseen(error: Exception, *, sent: bool) -> TransientStepError:
    return TransientStepError("step.unexpected", f"{type(error).__name__}: {error}"[:500], sent=sent)


@dataclass(frozen=True)
class Lost:
    """A step whose lease ran out: `gives_up` with this code, or None: it may be claimed again."""

    gives_up: str | None


def judge_lost(
    *, lost_alone: int, lost: int, lost_last_alone: int, was_intended: bool, on_unknown: str
) -> Lost:
    """May a step whose worker died be tried again? All counts are with this loss.

    `lost_alone`: a living worker saw the step's own process die. A process that died together with its worker
    (a container stopped, a machine out of power) says nothing about the step, so those count for little.
    `lost_last_alone`: how many of the last three attempts were lost alone, whoever saw it.
    """
    if was_intended and on_unknown == "fail":
        return Lost(OUTCOME_UNKNOWN)
    if lost_alone >= MOST_LOSSES_ALONE or (lost >= MOST_LOSSES and lost_last_alone >= MOST_LOSSES_ALONE):
        return Lost("step.worker_lost")
    return Lost(None)
