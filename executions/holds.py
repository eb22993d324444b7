"""Attempts that are put back before they send anything, because their host fails for many runs.

Such an attempt uses up no `max_attempts`. It waits until the sweep releases it (`executions.circuits.releasing`), or for
its place among the retries. One that was put back before, and has waited for this very host for longer than
`LIGHTFIELD_CIRCUIT_HOLD_SECONDS`, fails: an agent asks several, and what it waited for one is not held against another. One
that comes from an attempt that was sent has not waited for its host: its retries may be days apart, and its attempts are its
author's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings

from executions.claims import StepInHand
from executions.egress.breaker import CIRCUIT_OPEN, HELD
from executions.outcomes import Fail, error_of
from executions.states import AttemptOutcome
from lightfield.kernel import sql
from lightfield.kernel.errors import TransientStepError

LONGEST_HOST: Final = 300  # characters, in the row
SPREAD: Final = 0.1  # of a wait for a place among the retries: neighbours come one after the other


@dataclass(frozen=True)
class Hold:
    """Put it back. With a `host` until that one is released, at the latest after `delay_seconds`; else for so long."""

    delay_seconds: float
    error: dict[str, Any]
    host: str | None


# Between its put-backs and the attempts that followed them, since the last attempt that was no put-back.
_WAITED: Final = """
WITH a AS (
  SELECT number, outcome, finished_at, error #>> '{metadata,circuit}' AS host,
    lead(started_at) OVER (ORDER BY number) AS next_at
  FROM executions_attempt WHERE step_run_id = %(step_run_id)s::bigint AND number <= %(attempt)s::int)
SELECT coalesce(sum(extract(epoch FROM coalesce(next_at, clock_timestamp()) - finished_at)), 0)::float8 FROM a
WHERE outcome = 'held' AND host = %(host)s::text AND number > coalesce((SELECT max(number) FROM a
  WHERE outcome IS DISTINCT FROM 'held' AND number < %(attempt)s::int), 0)
"""


def waited_for(step: StepInHand, host: str) -> float:
    """Seconds that the step was put back for this host (`Target.site`), since an attempt of it was last sent."""
    found = sql.row(_WAITED, {"step_run_id": step.step_run_id, "attempt": step.attempt, "host": host})
    return float(found[0]) if found else 0.0


def held(
    error: Exception, step: StepInHand, waited: Callable[[StepInHand, str], float]
) -> Hold | Fail | None:
    """None for every error that is no such thing; that of a request of which a part was sent is none.

    `waited` is `waited_for`, asked only of a step that is old enough to have waited for too long.
    """
    if not isinstance(error, TransientStepError) or error.code not in HELD or error.sent:
        return None
    host = error.metadata.get("circuit") if error.code == CIRCUIT_OPEN else None
    if error.code == CIRCUIT_OPEN and not (isinstance(host, str) and 0 < len(host) <= LONGEST_HOST):
        return None  # a step type's own words for it: nobody would know whom it waits for
    failure = error_of(error, retryable=True, attempt=step.attempt)
    most, has_waited = settings.LIGHTFIELD_CIRCUIT_HOLD_SECONDS, 0.0
    if step.error_code in HELD:
        has_waited = step.seconds  # at most, whomever it waited for
        if 0 < most <= has_waited:
            has_waited = waited(step, str(error.metadata.get("circuit")))
    left = most - has_waited
    if left <= 0:
        return Fail(failure, AttemptOutcome.HELD, "by_attempts")
    if host is not None:
        return Hold(left, failure, host)
    wait = (error.retry_after or 1.0) * (1 + SPREAD * random.random())  # noqa: S311  jitter, not a secret
    return Hold(min(wait, left), failure, None)
