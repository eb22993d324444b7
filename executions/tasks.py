"""Celery's door into executions. Shells only: find, call, report.

Every message may come twice, late, forged or never; running any of these again is always safe. Arguments
are ids, and whatever else arrives in their place is refused without a trace in the rows.
"""

from __future__ import annotations

import logging
from uuid import UUID

from celery.exceptions import Retry
from django.db import InterfaceError, OperationalError

from executions import admission, cells, dispatcher, engine, heartbeats, planner_statistics, sweeper, worker
from executions.circuits import releasing
from executions.ending import end_run
from executions.notices import outgoing
from executions.states import RunStatus
from lightfield.kernel import bells
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.doors import door
from triggers import outbox, renewing
from triggers.decisions import collecting
from triggers.deliveries import pruning
from triggers.records import uncaptured

logger = logging.getLogger(__name__)


@door("executions.dispatch_shard")
def dispatch_shard(shard: int) -> None:
    bells.answered(f"dispatch:{int(shard)}")
    crashpoint("CP-D1")
    dispatcher.dispatch_shard(int(shard))


@door("executions.admit")
def admit(lane: str) -> None:
    if lane in ("http", "ai"):
        bells.answered(f"admit:{lane}")
        admission.admit(lane)


@door("executions.advance")
def advance(run_ids: list[str]) -> None:
    for lane in sorted(engine.advance([str(UUID(run_id)) for run_id in run_ids])):
        admission.admit(lane)


@door("executions.execute_steps")
def execute_steps(step_run_ids: list[int]) -> None:
    ended = worker.execute([int(step_run_id) for step_run_id in step_run_ids])
    crashpoint("CP-S8")
    if len(step_run_ids) == 1 and ended and ended[0].due_at is not None:
        # For Flower's eye: nothing is published. The row's due_at decides when it runs again.
        raise Retry(when=ended[0].due_at, message=ended[0].error_code)


@door("executions.execute_in_cell")
def execute_in_cell(step_run_ids: list[int], lane: str) -> None:
    if lane in ("fast", "http", "ai"):
        cells.run_in_cell([int(step_run_id) for step_run_id in step_run_ids], lane)


@door("executions.sweep")
def sweep() -> None:
    swept = sweeper.sweep()
    releasing.take_turns(swept.troubled_hosts)
    if swept.has_outdated_schedules:
        renewing.renew_outdated()
    planner_statistics.refresh()
    collecting.collect()
    uncaptured.fold()
    outbox.forget_bodies()
    pruning.prune_now_and_then()


@door("executions.settle_effects")
def settle_effects() -> None:
    sweeper.settle_effects()


@door("executions.expire_runs")
def expire_runs(run_ids: list[str]) -> None:
    for run_id in [str(UUID(run_id)) for run_id in run_ids]:
        try:
            end_run(run_id, status=RunStatus.FAILED, metadata={})
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            # One run must not keep the others of its message from ending; the sweeper rings for it again.
            logger.exception("run_not_expired", extra={"run_id": run_id})


@door("executions.send_notices")
def send_notices() -> None:
    bells.answered("notices")
    outgoing.send_due()


@door("executions.beat_heart")
def beat_heart(queue: str) -> None:
    if queue in ("fast", "http", "ai"):
        heartbeats.beat(queue)
