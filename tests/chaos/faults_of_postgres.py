"""PostgreSQL stopped, restarted, frozen, its backends ended; locks held by strangers and by our own stopped clients."""

from __future__ import annotations

import os
import signal
import time

import psycopg

from tests.chaos.ordeal import Trial
from tests.chaos.processes import state_of
from tests.chaos.stack import STOPPED_SECONDS

TERMINATE_ONE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'lightfield-%'
ORDER BY random() LIMIT 1
"""
# Rows that everybody needs, each with what a stranger does to them.
HOT = {
    "lane": "SELECT 1 FROM executions_lane FOR UPDATE",
    "runs": "SELECT 1 FROM executions_run WHERE status IN ('pending', 'running', 'waiting') FOR UPDATE SKIP LOCKED",
    "steps": "SELECT 1 FROM executions_steprun WHERE status IN ('ready', 'queued', 'running', 'waiting')"
    " FOR UPDATE SKIP LOCKED",
    "events": "SELECT 1 FROM triggers_outboxevent WHERE status = 'pending' FOR UPDATE SKIP LOCKED",
    "workflows": "SELECT 1 FROM workflows_workflow FOR UPDATE",
}
IDLE_IN_TRANSACTION = r"""
SELECT substring(application_name FROM '[0-9]+$')::int FROM pg_stat_activity
WHERE state = 'idle in transaction' AND application_name ~ '^lightfield-worker-[a-z]+:[0-9]+$'
"""
STEPS_THEN_RUNS = (  # the wrong way round, and the runs backwards
    "SELECT id FROM executions_steprun WHERE status IN ('queued', 'running', 'ready') ORDER BY random() LIMIT 4 FOR UPDATE",
    "SELECT id FROM executions_run WHERE id IN (SELECT run_id FROM executions_steprun"
    " WHERE status IN ('queued', 'running', 'ready')) ORDER BY id DESC LIMIT 8 FOR UPDATE",
)
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def pg_stop(trial: Trial) -> int:
    """The postmaster's immediate shutdown: nothing is flushed, no goodbye is said."""
    return _stop(trial, signal.SIGQUIT)


def pg_restart(trial: Trial) -> int:
    """Its fast shutdown: transactions are rolled back, clients are told."""
    return _stop(trial, signal.SIGINT)


def _stop(trial: Trial, number: signal.Signals) -> int:
    back: list[float] = []

    def stop() -> None:
        trial.end("postgres", number)
        stopped_at = time.monotonic()
        trial.until(lambda: not trial.postgres_answers(), 5, every=0.02)
        if trial.until(trial.postgres_answers, 30):
            back.append(time.monotonic() - stopped_at)
        trial.pause(4, 6)

    done = trial.times(5, stop)
    if back:
        trial.note(f"the server was away for up to {max(back):.1f} s")
    return done


def pg_freeze(trial: Trial) -> int:
    """Nothing passes between us and the server for 20 s, and nobody is told."""
    trial.stack.postgres_line.freeze()
    trial.last(20)
    return 1


def pg_terminate(trial: Trial) -> int:
    """A backend ended every 100 ms; a round that found none does not count."""
    lines: list[psycopg.Connection] = []

    def terminate() -> bool:
        if not lines or lines[0].closed:
            lines[:] = [psycopg.connect(trial.stack.database_url, autocommit=True)]
        return lines[0].execute(TERMINATE_ONE).fetchall() == [(True,)]

    try:
        return trial.every(0.1, 60, terminate)
    finally:
        for line in lines:
            line.close()


def pg_idle(trial: Trial) -> int:
    """A stranger locks what everybody needs and goes idle in its transaction for up to 8 s."""

    def sit() -> None:
        name = trial.drawn.choice([*HOT])
        with psycopg.connect(trial.stack.database_url) as stranger:
            stranger.execute(HOT[name])
            trial.books.count(f"rows held by a stranger: {name}")
            trial.pause(3, 8)
            stranger.rollback()
        trial.pause(1, 2)

    return trial.times(8, sit)


def stopped_in_transaction(trial: Trial) -> int:
    """A worker of ours is stopped between two statements of a transaction, for two leases."""
    return trial.times(5, lambda: _stop_in_transaction(trial))


def _stop_in_transaction(trial: Trial) -> bool:
    """Whether a transaction of a worker was caught open."""
    caught = 0
    with psycopg.connect(trial.stack.database_url, autocommit=True) as watching:

        def catch() -> bool:
            nonlocal caught
            row = watching.execute(IDLE_IN_TRANSACTION).fetchone()
            if row is None or not state_of(row[0]):
                return False
            os.kill(row[0], signal.SIGSTOP)
            trial.books.note_stop(row[0])
            time.sleep(0.05)
            if row in watching.execute(IDLE_IN_TRANSACTION).fetchall():
                caught = row[0]
                return True
            os.kill(row[0], signal.SIGCONT)
            return False

        found = trial.until(catch, 20, every=0.002)
    if not found or not caught:
        return False
    stopped_at = time.time()
    time.sleep(STOPPED_SECONDS)
    if state_of(caught):
        trial.books.note_zombie(caught, stopped_at)
        os.kill(caught, signal.SIGCONT)
    return True


def lock_order(trial: Trial) -> int:
    """A stranger locks steps before runs, and runs from the last to the first: against our one order."""
    before = trial.stack.ask(DEADLOCKS)[0][0]

    def cross() -> None:
        with psycopg.connect(trial.stack.database_url) as stranger:
            for statement in STEPS_THEN_RUNS:
                stranger.execute(statement.encode())
                time.sleep(0.05)
            stranger.rollback()

    done = trial.over_and_over(0.05, 30, cross)
    time.sleep(1)  # statistics are told once a second
    trial.note(f"{trial.stack.ask(DEADLOCKS)[0][0] - before} deadlocks with the stranger")
    return done
