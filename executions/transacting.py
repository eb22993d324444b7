"""Transactional steps: what they write and what came of them is one transaction, which is run again where it collided.

    BEGIN · the run and its step are locked, if the step is still ours · the step's own code · its outcome · COMMIT

Dying before COMMIT leaves the step as it was, and nothing of its own; dying after it leaves both. Whoever else runs the
same step waits for the lock, finds it moved, and writes nothing. The run comes first and records after it, as in all
transactions of the engine, so that two runs meet at a record at the earliest.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import IntegrityError, InternalError, OperationalError, connection, transaction

from executions.attempts import acting, checked_request, digest_of
from executions.claims import StepInHand
from lightfield.kernel import sql
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import LostRace, TransientStepError, WriteConflict
from workflows.step_types import Completed, StepContext, TransactionalStepType

logger = logging.getLogger(__name__)

R = TypeVar("R")

MOST_TRIES = 4  # of one attempt, where others wrote at the same moment
FOREIGN_KEY_VIOLATION = "23503"
COLLISIONS = {"40001", "40P01"}  # serialization failure, deadlock: nothing was written
LOCKED_TOO_LONG = "55P03"
CANCELLED = "57014"  # the statement took longer than it may

# What is locked is looked at again after the wait for it; a guard on anything else would not be.
LOCK = """
SELECT 1 FROM executions_run r JOIN executions_steprun s ON s.run_id = r.id
WHERE r.id = %(run_id)s::uuid AND s.id = %(step_run_id)s::bigint AND s.fence = %(fence)s::int
  AND s.status || '' = %(was)s::text AND r.status || '' NOT IN ('completed', 'failed', 'cancelled')
FOR NO KEY UPDATE OF r, s
"""


def refuse_to_nest() -> None:
    """Whoever rolls back around it would undo what a run counts as done. Raises RuntimeError."""
    if connection.in_atomic_block:
        raise RuntimeError("the transaction of a step must be the outermost one")


def written_with(
    step: StepInHand,
    step_type: TransactionalStepType[Any],
    config: Any,
    context: StepContext,
    settle: Callable[[Completed, dict[str, Any] | None], R],
) -> R:
    """Run the step and, in the same transaction, `settle` what came of it; returns what that returned.

    Args:
        settle: takes what the step returned and what the ledger is to note of it.

    Raises:
        LostRace: the step is somebody else's by now.
        StepError: the step's own, or others wrote at the same moment every time.
        OperationalError, InterfaceError: the database is away, or was in the way of the engine's own statements.
    """
    noted = _noted(step, config) if step_type.has_effect else None
    return repeated(
        lambda: _once(step, step_type, config, context, lambda result: settle(result, noted)),
        run_id=step.run_id,
        step=step.key,
    )


def repeated(once: Callable[[], R], **facts: str) -> R:
    """Run a whole transaction, again where it collided with somebody else's: then nothing of it was written.

    Args:
        facts: for the log.

    Raises:
        StepError: of a WriteConflict that came every time, or `step.conflict`.
        OperationalError: statements outside `told_apart` met others every time; and whatever else `once` raises.
    """
    for number in range(1, MOST_TRIES + 1):
        try:
            return once()
        except (WriteConflict, OperationalError, IntegrityError) as error:
            if not _may_pass(error):
                raise
            if number == MOST_TRIES:
                raise _verdict(error) from error
            logger.info("transaction_repeated", extra={**facts, "try": number})
            time.sleep(random.uniform(0.005, 0.05) * number)  # noqa: S311  jitter, not a secret
    raise AssertionError("unreachable")


def _once(
    step: StepInHand,
    step_type: TransactionalStepType[Any],
    config: Any,
    context: StepContext,
    settle: Callable[[Completed], R],
) -> R:
    with transaction.atomic():
        lock(step.run_id, step.step_run_id, step.fence, was=step.status)
        if step_type.has_effect:
            transaction.on_commit(lambda: crashpoint("CP-R2"))  # ahead of the bells
        with acting(step), told_apart():
            result = step_type.execute(config, context)
        if step_type.has_effect:
            crashpoint("CP-R1")
        return settle(result)


def lock(run_id: str, step_run_id: int, fence: int, *, was: str) -> None:
    """Lock a live run and its step, which is `was` under this fence, until the transaction ends. Raises LostRace."""
    guard = {"run_id": run_id, "step_run_id": step_run_id, "fence": fence, "was": str(was)}
    if sql.row(LOCK, guard) is None:
        raise LostRace


def _noted(step: StepInHand, config: Any) -> dict[str, Any]:
    """The entry of the ledger: what was asked for, as it was rendered. Raises PermanentStepError."""
    request = checked_request(config.model_dump(mode="json", exclude_unset=True))
    return {"key": step.effect_key, "request": request, "digest": digest_of(request)}


@contextmanager
def told_apart() -> Iterator[None]:
    """Around the step's own code: a statement that waited or took too long is its own affair, not the database's."""
    try:
        yield
    except OperationalError as error:
        state = sql.sqlstate(error)
        if state in COLLISIONS:
            raise WriteConflict(_collided()) from error
        if state == LOCKED_TOO_LONG:
            raise _collided() from error
        if state == CANCELLED:
            raise TransientStepError("step.timeout", "A statement of the step took too long.") from error
        raise
    except InternalError as error:
        # So calls psycopg the end of a connection that stood still.
        if sql.sqlstate(error) == sql.IDLE_TOO_LONG:
            raise OperationalError(str(error)) from error.__cause__
        raise


def _collided() -> TransientStepError:
    return TransientStepError("step.conflict")


def _may_pass(error: Exception) -> bool:
    """Whether the same transaction may go through the next time. One that refers to what was just deleted finds that out."""
    if isinstance(error, WriteConflict):
        return True
    state = sql.sqlstate(error)
    return state in COLLISIONS or (isinstance(error, IntegrityError) and state == FOREIGN_KEY_VIOLATION)


def _verdict(error: Exception) -> Exception:
    if isinstance(error, WriteConflict):
        return error.otherwise
    return error if isinstance(error, OperationalError) else _collided()
