"""Faults of the servers and of the lines to them, by name. Each lasts `seconds` under the workload, then ends."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import redis

from tests.chaos.books import Books
from tests.chaos.stack import Stack, wait_until

SWALLOWED = ("capture", "dispatch", "admit", "claim", "intent", "settle")
IDLE = """
SELECT count(*) FROM executions_run r JOIN executions_steprun s ON s.run_id = r.id
WHERE s.status IN ('ready', 'queued', 'running', 'waiting') AND r.created_at < to_timestamp(%s)
  AND r.status IN ('pending', 'running', 'waiting')
"""
PENDING = (
    "SELECT count(*) FROM triggers_outboxevent WHERE status = 'pending' AND captured_at < to_timestamp(%s)"
)

TERMINATE_ONE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'lightfield-%'
ORDER BY random() LIMIT 1
"""


@dataclass
class Ordeal:
    """One fault: what was done, and how long after its end everything that came in before had ended."""

    name: str
    deeds: int
    seconds: float
    drained_seconds: float | None
    problem: str = ""


class Matrix:
    """The named faults. `scale` shortens them for a quick look: 1 is the full length."""

    NAMES = (
        "flushall",
        "redis-kill",
        "redis-down",
        "redis-freeze",
        "pg-stop",
        "pg-terminate",
        "commit-reply",
        "two-beats",
        "garbage",
        "forged",
    )

    def __init__(
        self,
        stack: Stack,
        books: Books,
        is_over: Callable[[], bool],
        *,
        seed: int,
        scale: float,
        patience: float,
    ) -> None:
        self.stack, self.books, self.is_over = stack, books, is_over
        self.scale = scale
        self.patience = patience
        self._drawn = random.Random(f"{seed}:matrix")

    def suffer(self, name: str) -> Ordeal:
        """Do it, take it away, and wait until all that came in before its end has ended."""
        began = time.time()
        problem = ""
        deeds = getattr(self, name.replace("-", "_"))()
        self.stack.mend()
        ended = time.time()

        def is_drained() -> bool:
            return self.stack.ask(IDLE, ended) == [(0,)] and self.stack.ask(PENDING, ended) == [(0,)]

        drained = time.time() - ended if wait_until(is_drained, 2 * self.patience, every=0.25) else None
        if drained is None or drained > self.patience:
            problem = f"not all had ended {self.patience:.0f} s after the fault"
        self.books.count(name, deeds)
        return Ordeal(name, deeds, ended - began, drained, problem)

    # --- Redis ---

    def flushall(self) -> int:
        return self._every(5, 60, lambda: self.stack.redis().flushall())

    def redis_kill(self) -> int:
        def kill() -> None:
            wait_until(self._redis_answers, 10)
            self.stack.kill("redis")
            time.sleep(self._drawn.uniform(1, 4))

        return self._times(10, kill)

    def _redis_answers(self) -> bool:
        try:
            return bool(self.stack.redis().ping())
        except redis.RedisError:
            return False

    def redis_down(self) -> int:
        self.stack.redis_line.refuse()
        self._last(60)
        return 1

    def redis_freeze(self) -> int:
        self.stack.redis_line.freeze()
        self._last(30)
        return 1

    def garbage(self) -> int:
        """Not a message at all, and messages that only look like some. What a worker does with them is its own
        affair, as long as somebody works again afterwards."""
        pieces = (
            b"garbage",
            b"{}",
            b'{"body": 1}',
            json.dumps({"body": "e30=", "headers": {}}).encode(),
            b"\x80\x04",
        )

        def throw() -> None:
            queue = self._drawn.choice(("fast", "http", "ai"))
            try:
                self.stack.redis().lpush(queue, self._drawn.choice(pieces))
            except redis.RedisError:
                self.books.count("calls in vain")

        return self._every(2, 30, throw)

    def forged(self) -> int:
        """Real tasks with ids of all kinds: of steps that are ready, running or long over, of nobody, no ids."""
        from celery import Celery

        app = Celery(broker=self.stack.redis_url, set_as_current=False)
        app.conf.task_serializer = "json"

        def forge() -> None:
            steps = [
                row[0]
                for row in self.stack.ask("SELECT id FROM executions_steprun ORDER BY random() LIMIT 20")
            ]
            runs = [
                row[0]
                for row in self.stack.ask("SELECT id::text FROM executions_run ORDER BY random() LIMIT 20")
            ]
            for task, queue, arguments in (
                ("executions.execute_steps", "http", [steps]),
                ("executions.execute_steps", "fast", [[1 << 40, -1]]),
                ("executions.execute_in_cell", "http", [steps[:3], "http"]),
                ("executions.execute_in_cell", "http", [steps[:3], "fast"]),
                ("executions.advance", "fast", [runs]),
                ("executions.advance", "fast", [["no run"]]),
                ("executions.expire_runs", "fast", [runs]),
                ("executions.dispatch_shard", "fast", [self._drawn.randrange(16)]),
                ("executions.dispatch_shard", "fast", ["x"]),
                ("executions.admit", "fast", [self._drawn.choice(("http", "ai", "nowhere"))]),
                ("executions.settle_effects", "fast", []),
                ("executions.sweep", "fast", []),
            ):
                app.send_task(task, args=arguments, queue=queue, ignore_result=True)

        done = self._every(0.5, 30, forge)
        app.close()
        return done * 12

    def two_beats(self) -> int:
        """Every process that rings doubled: each sweep and heartbeat is ordered five times over."""
        from celery import Celery

        app = Celery(broker=self.stack.redis_url, set_as_current=False)

        def sweep() -> None:
            for _ in range(5):
                app.send_task("executions.sweep", queue="fast", ignore_result=True)

        done = self._every(0.2, 30, sweep)
        app.close()
        return done * 5

    # --- PostgreSQL ---

    def pg_stop(self) -> int:
        """The postmaster's immediate shutdown: nothing is flushed, no goodbye is said."""

        def stop() -> None:
            os.kill(self.stack.pid_of("postgres"), signal.SIGQUIT)
            time.sleep(self._drawn.uniform(5, 8))

        return self._times(5, stop)

    def pg_terminate(self) -> int:
        return self._every(0.1, 60, lambda: self.stack.ask(TERMINATE_ONE))

    def commit_reply(self) -> int:
        """Committed, and nobody learns of it: a hundred times for each kind of transaction."""
        line = self.stack.postgres_line
        each = max(1, round(100 * self.scale))
        for kind in SWALLOWED:
            before = line.swallowed[kind]
            give_up = time.monotonic() + max(10, 120 * self.scale)
            while line.swallowed[kind] - before < each and time.monotonic() < give_up and not self.is_over():
                if not line.left_to_swallow(kind):
                    line.swallow(kind, 1)  # one at a time: the repetition shall succeed
                time.sleep(0.05)
            self.books.count(f"lost replies to {kind}", line.swallowed[kind] - before)
        return sum(line.swallowed.values())

    # --- how often, how long ---

    def _last(self, seconds: float) -> None:
        wait_until(self.is_over, seconds * self.scale)

    def _every(self, pause: float, seconds: float, deed: Callable[[], object]) -> int:
        give_up = time.monotonic() + seconds * self.scale
        done = 0
        while time.monotonic() < give_up and not self.is_over():
            done += self._tried(deed)
            time.sleep(pause)
        return done

    def _times(self, number: int, deed: Callable[[], object]) -> int:
        done = 0
        for _ in range(max(1, round(number * self.scale))):
            if self.is_over():
                break
            done += self._tried(deed)
        return done

    def _tried(self, deed: Callable[[], object]) -> int:
        """1, or 0 when what was to be hit was down already."""
        try:
            deed()
        except (redis.RedisError, psycopg.Error, OSError):
            self.books.count("faults that missed")
            return 0
        return 1
