"""One run in a worker's hands: render, commit the intent, send, settle, go on with what follows.

Between the transactions stand the waits: rendering, the request itself. No database connection is held during
them. A transaction whose reply is lost is repeated, and what it had committed is found again.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError

from executions import cell_limits, claims, egress, ending, intents, published, reports
from executions.attempts import (
    acting,
    checked_output,
    context_of,
    digest_of,
    frozen_request,
    judge,
    step_type_of,
)
from executions.circuits import rows
from executions.claims import StepInHand
from executions.crowd import crowd
from executions.engine import next_in_hand
from executions.holds import Hold, held, waited_for
from executions.leases import Hold as Lease
from executions.leases import keeper, worker_name
from executions.looking_ahead import is_careful, next_intent
from executions.lost_replies import committed_unheard, persist
from executions.outcomes import Retry
from executions.secrets import hiding
from executions.settlements import Settled, Settlement
from executions.settling import settle, settle_together
from executions.states import StepStatus
from executions.together import Together
from lightfield.kernel import bells, logs, sql
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import LostRace
from workflows.step_types import SlowStepType

logger = logging.getLogger(__name__)

RENDER_SECONDS = 10.0  # allowed for everything around the request


def frozen_requests(wanted: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """The frozen request of each intent, None where the step was lost."""
    frozen = intents.commit_intents(wanted)
    return [frozen.get(one["id"]) for one in wanted]


# What several threads have to write at the same time is written in one statement.
commit_together = Together(frozen_requests, sql.release)
complete_together = Together(settle_together, sql.release)


def commit_intents_of(chains: list[Chain]) -> None:
    """One statement for the whole batch; a chain that gets no request back has lost its step."""
    wanted = [chain.intent() for chain in chains]
    asked_at = time.monotonic()
    frozen = persist(lambda: commit_together(wanted), chains[0].hold) if wanted else []
    for chain, request in zip(chains, frozen, strict=True):
        chain.intended(request, asked_at)


def write(settlement: Settlement) -> Settled:
    """Through the one door; a plain success in company with those of other threads."""
    if not settlement.is_plain:
        return settle(settlement)
    (settled,) = complete_together([settlement])
    return settled or settle(settlement)  # one of its company did not fit


@dataclass(frozen=True)
class Ended:
    """How a chain left this worker: waiting until `due_at`, or not at all; with the error of its last attempt."""

    due_at: datetime | None
    error_code: str | None


class Chain:
    """One run in this worker's hands: a step, then the next slow steps of the same lane."""

    def __init__(self, step: StepInHand, claimed_at: float, *, in_cell: bool) -> None:
        self.step = step
        self.in_cell = in_cell
        self.ended: Ended | None = None
        self._is_counted = True
        self.request: dict[str, Any] | None = None
        self.is_intended = False
        self.settled_at = 0.0  # monotonic, when the last settlement was begun
        self.hold = self._keep(claimed_at, RENDER_SECONDS)
        crowd.begin(step.workflow_id)

    def _keep(self, claimed_at: float, limit_seconds: float) -> Lease:
        return keeper.hold(
            self.step.step_run_id, self.step.fence, claimed_at=claimed_at, limit_seconds=limit_seconds
        )

    # --- before sending ---------------------------------------------------------------------------

    def prepare(self) -> bool:
        """Render and freeze the request, unless an earlier attempt did. False: the step has ended by it."""
        try:
            # Now, so that once something was sent, writing what came of it needs no read.
            published.load(self.step.version_id)
            self.request = self.step.request or frozen_request(self.step)
        except Exception as error:  # noqa: BLE001  whatever a step type raises is an outcome
            with self._stopping_quietly():
                self._settle_error(error)
            return False
        return True

    def intent(self) -> dict[str, Any]:
        assert self.request is not None
        return {
            "id": self.step.step_run_id,
            "run_id": self.step.run_id,
            "fence": self.step.fence,
            "key": self.step.effect_key,
            "request": self.request,
            "digest": digest_of(self.request),
        }

    def intended(self, request: dict[str, Any] | None, asked_at: float) -> None:
        """The ledger's answer: the frozen request, or None when the step is somebody else's by now."""
        self.request = self.step.request = request
        self.is_intended = request is not None
        if self.is_intended:
            self.hold.renewed(asked_at)

    # --- sending and after ------------------------------------------------------------------------

    def run(self) -> None:
        """Send, settle, continue, until the run goes on elsewhere."""
        try:
            with self._stopping_quietly():
                while self.is_intended:
                    if not is_careful(self.request):
                        crowd.give_way(self.step.workflow_id)
                    following = self._send_and_settle()
                    if following is None:
                        break
                    self._continue_with(following)
        finally:
            self.let_go()
            sql.release()

    def let_go(self) -> None:
        """This worker is done with the run. Again: nothing."""
        keeper.let_go(self.hold)
        if self._is_counted:
            self._is_counted = False
            crowd.end(self.step.workflow_id)

    @contextmanager
    def _stopping_quietly(self) -> Iterator[None]:
        """Losing the step is no failure; losing the database leaves the lease to run out."""
        facts = {"step_run_id": self.step.step_run_id, "run_id": self.step.run_id}
        try:
            yield
        except LostRace:
            logger.info("step_lost_to_another", extra=facts)
        except (OperationalError, InterfaceError) as error:
            logger.warning("outcome_not_written", extra={**facts, "error": str(error)})
        except Exception as error:
            cell_limits.end_cell_if_out_of_memory(error)
            logger.exception("step_left_behind", extra=facts)

    def _send_and_settle(self) -> StepInHand | None:
        step = self.step
        try:
            with logs.bound(run_id=step.run_id, step=step.key, attempt=step.attempt, trace_id=step.trace_id):
                output = self._send()
        except LostRace:
            raise
        except Exception as error:  # noqa: BLE001  whatever a step type raises is an outcome
            self._settle_error(error)
            return None
        may_continue = self._may_continue()
        settlement = reports.completed(
            step,
            output,
            effect="done",
            answer={"status_code": output.get("status_code")},
            may_continue=may_continue,
            next_intent=next_intent(step, self.request, output) if may_continue else None,
            worker=worker_name(),
            owner=claims.new_owner(worker_name()),
            lease_seconds=settings.LIGHTFIELD_LEASE_SECONDS,
        )
        settled = self._settle(settlement)
        following = next_in_hand(step, settlement, settled)
        if settled.continues and following is not None:
            following.request = settled.next_request
            return following
        if following is not None and following.lane == "fast":
            bells.ring_advance([step.run_id])
        elif following is not None and following.lane != step.lane:
            bells.ring_admit(following.lane)
        return None

    def _send(self) -> dict[str, Any]:
        step_type = step_type_of(self.step)
        assert isinstance(step_type, SlowStepType)
        assert self.request is not None
        crashpoint("CP-S3")
        limit = step_type.time_limit(self.request)
        self.hold.must_end_by = time.monotonic() + limit
        self._may_send()
        context = context_of(self.step, limit_seconds=limit, before_sending=self._may_send)
        crowd.wait_for_answer(self.step.workflow_id)
        try:
            with acting(self.step), hiding.secrets() as hider:
                output = hider.json(step_type.execute(self.request, context))
        finally:
            crowd.answer_came(self.step.workflow_id)
        return checked_output(output)

    def _may_send(self) -> None:
        if not self.hold.may_send():
            raise LostRace  # paused for too long: the lease may be over in the database's eyes

    def _may_continue(self) -> bool:
        following = reports.following_of(self.step)
        return not self.in_cell and following is not None and following["lane"] == self.step.lane

    def _continue_with(self, following: StepInHand) -> None:
        keeper.let_go(self.hold)
        self.step, self.request = following, following.request
        self.is_intended = following.request is not None
        self.hold = self._keep(self.settled_at, RENDER_SECONDS)
        if not self.is_intended and self.prepare():
            commit_intents_of([self])
        crashpoint("CP-S9")
        sql.release()

    def _settle_error(self, error: Exception) -> None:
        verdict = held(error, self.step, self._waited) or judge(
            error, self.step, was_intended=self.is_intended
        )
        logger.info(
            "attempt_failed",
            extra={
                "run_id": self.step.run_id,
                "step": self.step.key,
                "attempt": self.step.attempt,
                "error": str(error),
            },
        )
        if isinstance(verdict, Hold):
            self._settle(reports.held(self.step, verdict))
        elif isinstance(verdict, Retry):
            self._settle(reports.retried(self.step, verdict))
        else:
            self._settle(reports.failed(self.step, verdict))

    def _waited(self, step: StepInHand, host: str) -> float:
        return persist(lambda: waited_for(step, host), self.hold)

    def _settle(self, settlement: Settlement) -> Settled:
        crashpoint("CP-S5")
        self.hold.must_end_by = math.inf  # the step is back: from here on the lease is the limit
        self.settled_at = time.monotonic()
        try:
            settled = persist(lambda: write(settlement), self.hold)
        except LostRace:
            if settlement.effect == "done":
                ending.tell_late_truth(self.step, settlement.answer or {})
            settled = committed_unheard(settlement)
        rows.tell(egress.current_breaker())
        crashpoint("CP-S7")
        is_waiting = settlement.status == StepStatus.WAITING
        code = settlement.error["code"] if settlement.error else None
        self.ended = Ended(settled.due_at if is_waiting else None, code)
        if settled.lane_stands and not settled.continues:
            bells.ring_admit(self.step.lane)  # the slot is free, and somebody waits for it
        return settled
