"""One lock order: lane, event, run, step, attempt, effect. Everything at once on the same rows never deadlocks."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from executions import (
    admission,
    cells,
    claims,
    dispatcher,
    ending,
    engine,
    renewals,
    services,
    sweeper,
    worker,
)
from executions.models import Attempt, Run
from executions.states import RunStatus
from lightfield.kernel import sql
from lightfield.kernel.errors import LightfieldError, PermanentStepError, TransientStepError
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import a_published_workflow, an_event
from tests.scripted import ScriptedSlow
from tests.staging import intend, say, slow

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ROUNDS = 40  # at least, of each of the deeds below, which run side by side
HELD = "SELECT id, fence FROM executions_steprun WHERE status = 'running' ORDER BY random() LIMIT 8"
AGE = """
UPDATE executions_steprun SET lease_expires_at = lease_expires_at - interval '1 hour',
  due_at = due_at - interval '1 hour', rung_at = rung_at - interval '1 hour' WHERE id = %(id)s::bigint
  AND status IN ('ready', 'queued', 'running', 'waiting')
"""
BUSY = "SELECT run_id FROM executions_steprun WHERE status = 'running' ORDER BY random() LIMIT 2"
LIVE = "SELECT id FROM executions_steprun WHERE status IN ('queued', 'running') ORDER BY random() LIMIT 8"


@pytest.fixture
def conflicts() -> Iterator[list[str]]:
    """The SQLSTATE of each conflict that a transaction had to be repeated for."""
    seen: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "conflict_retried":
                seen.append(record.__dict__["sqlstate"])

    listener, logger = Listener(), logging.getLogger("lightfield.kernel.sql")
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    yield seen
    logger.removeHandler(listener)
    logger.setLevel(level)


def answer(drawn: random.Random) -> Callable[[Any, Any], dict[str, Any]]:
    def script(request: Any, context: Any) -> dict[str, Any]:
        kind = drawn.random()
        if kind < 0.1:
            raise TransientStepError("http.unavailable", "try again", sent=True, answered=True)
        if kind < 0.2:
            raise PermanentStepError("http.client_error", "no", sent=True, answered=True)
        return {"status_code": 200}

    return script


def ids(statement: str = LIVE) -> list[int]:
    return [found[0] for found in sql.rows(statement, {})]


def dispatch() -> None:
    for shard in random.sample(range(16), 16):
        dispatcher.dispatch_shard(shard)


def admit() -> None:
    admission.admit("http")
    engine.advance([str(run.pk) for run in Run.objects.order_by("?")[:8]])


def execute() -> None:
    worker.execute(ids())


def die() -> None:
    """A worker that claims, intends and is never heard of again."""
    for step in claims.claim(ids(), worker="the dead one"):
        intend(step)


def take_over() -> None:
    cells.run_here(ids(), "http")


def renew() -> None:
    renewals.renew([(found[0], found[1]) for found in sql.rows(HELD, {})])


def sweep() -> None:
    sweeper.sweep()
    sweeper.settle_effects()


def age() -> None:
    """Leases and waits end; row by row, for this test's own statements must not lock in a circle either."""
    for step_run_id in ids():
        sql.rows(AGE, {"id": step_run_id})


def cancel() -> None:
    """Those that somebody works on."""
    for (run_id,) in sql.rows(BUSY, {}):
        ending.end_run(str(run_id), status=RunStatus.CANCELLED, metadata={})


def replay() -> None:
    for run in Run.objects.filter(status__in=["failed", "cancelled"]).order_by("?")[:3]:
        with suppress(LightfieldError):
            services.replay_run(run_id=run.pk, by="somebody")


DEEDS = (dispatch, admit, execute, execute, die, take_over, renew, sweep, age, cancel, replay)


def together(deeds: tuple[Callable[[], object], ...]) -> list[Callable[[], None]]:
    """Each again and again until the slowest has done its rounds: all of them meet all the time."""
    rounds = [0] * len(deeds)

    def repeat(number: int) -> None:
        try:
            while min(rounds) < ROUNDS:
                deeds[number]()
                rounds[number] += 1
        finally:
            rounds[number] = ROUNDS  # should it fail, the others must still end

    return [partial(repeat, number) for number in range(len(deeds))]


def test_given_every_transaction_at_once_on_the_same_rows_then_none_waits_for_another_in_a_circle(
    bellboy: Bellboy, slow_step: ScriptedSlow, conflicts: list[str], promises_kept: None
) -> None:
    slow_step.script = answer(random.Random(20261123))
    workflows = [a_published_workflow(steps=[slow("one"), say(), slow("two")]) for _ in range(3)]

    def capture() -> None:
        for workflow in workflows:
            an_event(workflow, payload={"n": 1})

    results = race(*together((capture, *DEEDS)))

    assert results == [None] * (1 + len(DEEDS))
    assert "40P01" not in conflicts
    met = Attempt.objects.values_list("outcome", flat=True).distinct()
    assert {"ok", "refused", "permanent", "lost"} <= set(met)
