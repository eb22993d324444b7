"""Attempts that are put back before they send anything, because their host fails for many runs. Pure but for the settings.

Such an attempt uses up no `max_attempts`. It waits until the sweep releases it (`executions.circuits.releasing`), or for
its place among the retries. One that was put back before, and whose first attempt began longer ago than
`LIGHTFIELD_CIRCUIT_HOLD_SECONDS`, fails. One that comes from an attempt that was sent has not waited for its host: its
retries may be days apart, and its attempts are its author's.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from executions.claims import StepInHand
from executions.egress.breaker import CIRCUIT_OPEN, HELD
from executions.outcomes import Fail, error_of
from executions.states import AttemptOutcome
from lightfield.kernel.errors import TransientStepError

LONGEST_HOST: Final = 300  # characters, in the row
SPREAD: Final = 0.1  # of a wait for a place among the retries: neighbours come one after the other


@dataclass(frozen=True)
class Hold:
    """Put it back. With a `host` until that one is released, at the latest after `delay_seconds`; else for so long."""

    delay_seconds: float
    error: dict[str, Any]
    host: str | None


def held(error: Exception, step: StepInHand) -> Hold | Fail | None:
    """None for every error that is no such thing; that of a request of which a part was sent is none."""
    if not isinstance(error, TransientStepError) or error.code not in HELD or error.sent:
        return None
    host = error.metadata.get("circuit") if error.code == CIRCUIT_OPEN else None
    if error.code == CIRCUIT_OPEN and not (isinstance(host, str) and 0 < len(host) <= LONGEST_HOST):
        return None  # a step type's own words for it: nobody would know whom it waits for
    failure = error_of(error, retryable=True, attempt=step.attempt)
    has_waited = step.seconds if step.error_code in HELD else 0.0
    left = settings.LIGHTFIELD_CIRCUIT_HOLD_SECONDS - has_waited
    if left <= 0:
        return Fail(failure, AttemptOutcome.HELD, "by_attempts")
    if host is not None:
        return Hold(left, failure, host)
    wait = (error.retry_after or 1.0) * (1 + SPREAD * random.random())  # noqa: S311  jitter, not a secret
    return Hold(min(wait, left), failure, None)
