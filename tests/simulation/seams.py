"""Where the product meets the world: what is put in place of the database's line, the clock, threads and children."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol
from unittest import mock

from django.db import transaction

from executions import (
    admission,
    attempts,
    cells,
    chain,
    claims,
    dispatcher,
    leases,
    lost_replies,
    planner_statistics,
    published,
    services,
    settling,
    worker,
)
from executions.cell_line import Order
from executions.claims import StepInHand
from executions.crowd import Crowd
from executions.leases import Hold, Keeper
from executions.models import Run
from lightfield.kernel import bells, doors, sql
from tests.simulation.broker import Broker
from tests.simulation.flows import published as published_flow
from tests.simulation.flows import step_types
from tests.simulation.store import Store
from triggers import outbox
from triggers.decisions import collecting
from triggers.deliveries import pruning
from triggers.records import uncaptured

EXPECTED = {"event_poisoned", "worker_ended_by_watchdog"}  # logged as errors with good reason


class Surroundings(Protocol):
    """What stands in for the outside of the product's processes."""

    store: Store
    broker: Broker
    randomness: Any
    surprises: list[str]

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def release(self) -> None: ...

    def ask(self, kind: str, context: Any) -> str: ...

    def pool(self) -> Any: ...

    def wait(self, futures: list[Any]) -> None: ...

    def run(self, order: Order) -> int | None: ...

    def keeper(self) -> ProcessKeeper: ...

    def worker_name(self) -> str: ...

    def end_process(self) -> None: ...


class ProcessKeeper(Keeper):
    """The product's own, of one simulated process; it beats when the adversary lets it."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = _AlwaysThere()  # type: ignore[assignment]

    @property
    def holds_anything(self) -> bool:
        return bool(self._held)

    def holds(self) -> list[Hold]:
        return list(self._held.values())


class _AlwaysThere:
    def is_alive(self) -> bool:
        return True


class _Line:
    """In place of Django's connection: there is none to close."""

    in_atomic_block = False

    def close(self) -> None:
        return None


class _Clock:
    def __init__(self, around: Surroundings) -> None:
        self.monotonic = around.monotonic
        self.sleep = around.sleep


class _Keepers:
    """`keeper` as the product imports it, of the process that has the turn."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def hold(self, *args: Any, **more: Any) -> Hold:
        return self._around.keeper().hold(*args, **more)

    def let_go(self, held: Hold) -> None:
        self._around.keeper().let_go(held)


class _Os:
    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def getpid(self) -> int:
        return 1

    def kill(self, pid: int, signal: int) -> None:
        self._around.end_process()


class _NoAudit:
    def record(self, **_: Any) -> None:
        return None


class _Runs:
    DoesNotExist = Run.DoesNotExist
    objects = mock.Mock(spec=["get"])


class _Surprises(logging.Handler):
    """Errors that the product swallowed and logged: in these worlds there is nothing that it may not foresee."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(logging.ERROR)
        self._around = around

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() not in EXPECTED:
            self._around.surprises.append(
                f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}"
            )


def _claim_in_two(ids: list[int], *, worker: str, owner: str = "") -> list[StepInHand]:
    """As cells once claimed: judged in one transaction, taken in another."""
    with transaction.atomic():
        left = cells._judged(ids, claims.lock_runs(ids))
    with transaction.atomic():
        return claims.take(left, claims.lock_runs(left), claims.IN_CELL, worker=worker, owner=owner)


@contextmanager
def installed(around: Surroundings) -> Iterator[None]:
    """Run the product inside this world until the block ends."""
    store, clock = around.store, _Clock(around)
    versions = {flow.version_id: published_flow(flow) for flow in store.tables.flows.values()}
    replacements: list[tuple[Any, str, Any]] = [
        (sql, "rows", store.rows),
        (sql, "rows_after", store.rows_after),
        (sql, "release", around.release),
        (transaction, "atomic", store.atomic),
        (transaction, "on_commit", store.on_commit),
        (published, "load", versions.__getitem__),
        (attempts, "random", around.randomness),
        (bells, "answered", around.broker.answered),
        (services, "audit", _NoAudit()),
        (services, "Run", _Runs),
        (worker, "_pool", around.pool),
        (worker, "slots", None),  # of the process that has the turn: set at every turn
        (worker, "wait", around.wait),
        *((module, "crowd", mock.MagicMock(spec=Crowd)) for module in (chain, worker)),  # nobody waits
        # Nobody waits for another thread's transaction: each passes as a whole.
        (admission, "admit", admission.fill),
        (chain, "commit_together", chain.frozen_requests),
        (chain, "complete_together", settling.settle_together),
        (cells, "line", around),
        (cells, "_ids_underway", None),  # likewise
        (dispatcher, "drains", None),  # likewise
        (cells, "_places", threading.Semaphore(1000)),  # waiting for a place would stop the whole world
        (leases, "os", _Os(around)),
        (collecting, "collect", int),  # what was noted lies in Redis, and nothing of a run hangs on it
        (pruning, "prune_now_and_then", int),  # nor on a delivery, once its event is stored
        (outbox, "forget_bodies", int),  # no webhook here is replayed by its body
        (uncaptured, "fold", int),  # nobody writes records here
        (planner_statistics, "refresh", list),  # rows in memory have no pages, and nobody plans
        *((module, "connection", _Line()) for module in (doors, leases, outbox)),
        *(
            (module, "time", clock)
            for module in (chain, worker, lost_replies, leases, dispatcher, attempts, cells)
        ),
        *((module, "keeper", _Keepers(around)) for module in (chain, cells)),
        *((module, "worker_name", around.worker_name) for module in (chain, worker, cells)),
    ]
    if "sender ignores its lease" in store.tables.planted:
        replacements.append((Hold, "may_send", lambda hold: True))
    if "judged before the claim" in store.tables.planted:
        replacements.append((cells, "claim", _claim_in_two))
    log = logging.getLogger("executions")
    watching, was = _Surprises(around), (log.level, log.propagate)
    with ExitStack() as stack:
        for owner, name, value in replacements:
            stack.enter_context(mock.patch.object(owner, name, value))
        stack.enter_context(step_types(around.ask))
        stack.enter_context(_ringing(around))
        stack.callback(log.removeHandler, watching)
        stack.callback(setattr, log, "propagate", was[1])
        stack.callback(log.setLevel, was[0])
        log.addHandler(watching)
        log.setLevel(logging.ERROR)
        log.propagate = False
        yield


class _Ringer:
    def __init__(self, ring: Callable[[Any], None]) -> None:
        self.ring = ring

    def answered(self, topic: str) -> None:
        pass  # `bells.answered` itself leads to the broker

    def can_ring(self) -> bool:
        return True

    def flush(self, seconds: float) -> bool:
        return True


@contextmanager
def _ringing(around: Surroundings) -> Iterator[None]:
    before = bells.use(_Ringer(around.broker.ring))
    try:
        yield
    finally:
        bells.use(before)
