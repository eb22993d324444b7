"""The faults by name, and what suffering one means: do it, take it away, wait until all before its end has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos import explain
from tests.chaos import faults_of_messages as messages
from tests.chaos import faults_of_postgres as postgres
from tests.chaos import faults_of_processes as processes
from tests.chaos import faults_of_redis as redis
from tests.chaos import faults_of_schedules as schedules
from tests.chaos.ordeal import ENOUGH, Ordeal, Trial
from tests.chaos.pace import own_time
from tests.chaos.replies import commit_reply
from tests.chaos.stack import wait_until

FAULTS: dict[str, Callable[[Trial], int]] = {
    "flushall": redis.flushall,
    "redis-kill": redis.redis_kill,
    "redis-restart": redis.redis_restart,
    "redis-down": redis.redis_down,
    "redis-freeze": redis.redis_freeze,
    "redis-full": redis.redis_full,
    "pg-stop": postgres.pg_stop,
    "pg-restart": postgres.pg_restart,
    "pg-freeze": postgres.pg_freeze,
    "pg-terminate": postgres.pg_terminate,
    "pg-idle": postgres.pg_idle,
    "stopped-in-transaction": postgres.stopped_in_transaction,
    "lock-order": postgres.lock_order,
    "commit-reply": commit_reply,
    "two-beats": processes.two_beats,
    "four-beats": schedules.four_beats,
    "tick-bells": schedules.tick_bells,
    "downtime": schedules.downtime,
    "sweeps": messages.sweeps,
    "garbage": redis.garbage,
    "forged": messages.forged,
    "old-messages": messages.old_messages,
    "zombie-web": processes.zombie_web,
    "web-kill": processes.web_kill,
    "flower-kill": processes.flower_kill,
    "killer": processes.killer,
    "reclaim": processes.reclaim,
}


@dataclass(frozen=True)
class Promise:
    """What senders may count on during a fault."""

    share: float = 0.0  # of webhooks accepted at the first try
    p95: float = float("inf")  # of all answers, in our seconds
    rate: float = 0.0  # webhooks a second in all, under which it is promised; 0: the usual
    besides: float = 0.0  # of one workflow, beside that


REDIS_ALONE = Promise(share=1.0, p95=0.1, rate=20)
PROMISED = {
    "redis-down": REDIS_ALONE,
    "redis-freeze": REDIS_ALONE,
    "flower-kill": Promise(share=1.0),
    "flushall": Promise(besides=20),
}
HICCUP = 1.5  # seconds without a webhook that a short fault may have: the sender makes up for no standstill

LIVE_STEPS = """
SELECT count(*) FROM executions_run r JOIN executions_steprun s ON s.run_id = r.id
WHERE s.status IN ('ready', 'queued', 'running', 'waiting') AND r.created_at < to_timestamp(%s)
  AND r.status IN ('pending', 'running', 'waiting')
"""
PENDING = (
    "SELECT count(*) FROM triggers_outboxevent WHERE status = 'pending' AND captured_at < to_timestamp(%s)"
)


def suffer(name: str, trial: Trial, *, patience: float) -> Ordeal:
    """One fault under the workload."""
    wait_until(trial.web_answers, patience, every=0.25)  # the last fault is over
    began = time.time()
    deeds = FAULTS[name](trial)
    trial.stack.mend()
    ended = time.time()

    def is_drained() -> bool:
        return trial.stack.ask(LIVE_STEPS, ended) == [(0,)] and trial.stack.ask(PENDING, ended) == [(0,)]

    has_drained = wait_until(is_drained, patience, every=0.25)
    now = time.time()
    trial.books.count(name, deeds)
    own = own_time.between(began, ended)
    ordeal = Ordeal(
        name,
        deeds,
        trial.wanted or deeds,
        trial.least or deeds,
        ended - began,
        own,
        patience=patience,
        notes=trial.notes,
    )
    ordeal.firsts = [one.answers[0] if one.answers else None for one in trial.books.begun(began, ended)]
    if has_drained:
        ordeal.drained_seconds, ordeal.drained_own = now - ended, own_time.between(ended, now)
    else:
        trial.problems.append(f"not all had ended {patience:.0f} s after the fault")
        explain.tell(trial.stack, f"after {name}")
    trial.problems += broken_promises(ordeal, PROMISED.get(name, Promise()), usual=trial.sender.rate)
    ordeal.problem = "; ".join(trial.problems)
    return ordeal


def broken_promises(ordeal: Ordeal, promise: Promise, *, usual: float) -> list[str]:
    """What did not happen, or not as promised. Seconds are ours: the sender lives on the same machine."""
    problems = []
    if ordeal.deeds < ordeal.least:
        problems.append(f"done {ordeal.deeds} of {ordeal.wanted} times")
    rate = (promise.rate or usual) + promise.besides
    expected = rate * ordeal.own_seconds
    missing = max((1 - ENOUGH) * expected, HICCUP * rate)
    if len(ordeal.firsts) < max(1.0, expected - missing):
        problems.append(f"{len(ordeal.firsts)} webhooks were sent, not {expected:.0f}")
    if ordeal.accepted < promise.share:
        problems.append(
            f"{ordeal.accepted:.2%} of webhooks accepted at the first try, not {promise.share:.0%}"
        )
    p95 = ordeal.latency.p95 / ordeal.stretch
    if p95 > promise.p95:
        problems.append(f"p95 of the answers {p95 * 1000:.0f} ms of ours, not {promise.p95 * 1000:.0f} ms")
    return problems
