"""Transactions whose COMMIT was not answered: they are run again, and what they had committed is found (ADR 0010)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError

from executions import claims
from executions.leases import Hold
from executions.settlements import Settled, Settlement
from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace

logger = logging.getLogger(__name__)

T = TypeVar("T")


def persist(transaction: Callable[[], T], hold: Hold) -> T:
    """Write an intent or an outcome although the database restarts meanwhile.

    A broken connection may have broken after COMMIT. Intents may be repeated; an outcome, written again, finds
    its guard no longer matching and raises LostRace, which is right either way. Gives up when the lease is over.
    """
    delay = 0.05
    while True:
        try:
            return sql.retrying_conflicts(transaction)()
        except (OperationalError, InterfaceError) as error:
            if hold.is_lost or time.monotonic() + delay > hold.lease_until:
                raise
            logger.info("outcome_written_again", extra={"error": str(error)})
            sql.release()
            time.sleep(delay)
            delay = min(delay * 2, 1.0)


def committed_unheard(settlement: Settlement) -> Settled:
    """What the settlement led to, when it was this worker's own that had committed and only its reply was lost.

    The next step then carries the token of this very settlement, and the worker may go on with it.

    Raises:
        LostRace: it carries no such step: somebody else's transaction was first, or nothing followed here.
    """
    if settlement.may_continue:
        for step in claims.owned_in_run(settlement.owner, settlement.run_id):
            return Settled(step.step_run_id, True, due_at=None, lane_stands=False, next_request=step.request)
    raise LostRace
