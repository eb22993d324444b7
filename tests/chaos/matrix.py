"""The faults by name, and what suffering one means: do it, take it away, wait until all before its end has ended."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.chaos import explain
from tests.chaos import faults_of_messages as messages
from tests.chaos import faults_of_postgres as postgres
from tests.chaos import faults_of_processes as processes
from tests.chaos import faults_of_redis as redis
from tests.chaos.ordeal import Ordeal, Trial
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
# Shares of webhooks that must be accepted at the first try, and the p95 of all answers, in seconds.
REDIS_ALONE = (1.0, 0.1)
PROMISED = {"redis-down": REDIS_ALONE, "redis-freeze": REDIS_ALONE, "flower-kill": (1.0, float("inf"))}

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
    began = time.time()
    deeds = FAULTS[name](trial)
    trial.stack.mend()
    ended = time.time()

    def is_drained() -> bool:
        return trial.stack.ask(LIVE_STEPS, ended) == [(0,)] and trial.stack.ask(PENDING, ended) == [(0,)]

    drained = time.time() - ended if wait_until(is_drained, patience, every=0.25) else None
    trial.books.count(name, deeds)
    ordeal = Ordeal(name, deeds, ended - began, drained, notes=trial.notes)
    ordeal.firsts = [
        delivery.answers[0]
        for delivery in [*trial.books.deliveries.values()]
        if delivery.answers and began <= delivery.answers[0].at <= ended
    ]
    if drained is None:
        trial.problems.append(f"not all had ended {patience:.0f} s after the fault")
        explain.tell(trial.stack, f"after {name}")
    trial.problems += _broken_promises(name, ordeal)
    ordeal.problem = "; ".join(trial.problems)
    return ordeal


def _broken_promises(name: str, ordeal: Ordeal) -> list[str]:
    share, p95 = PROMISED.get(name, (0.0, float("inf")))
    problems = []
    if ordeal.accepted < share:
        problems.append(f"{ordeal.accepted:.2%} of webhooks accepted at the first try, not {share:.0%}")
    if ordeal.latency.p95 > p95:
        problems.append(f"p95 of the answers {ordeal.latency.p95 * 1000:.0f} ms, not {p95 * 1000:.0f} ms")
    return problems
