"""Random faults, one every few seconds, drawn from the seed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import psycopg
import redis

from lightfield.local.boot import say
from tests.chaos.books import Books
from tests.chaos.memory import Memory
from tests.chaos.points import ACTIONS, ROLE
from tests.chaos.processes import state_of
from tests.chaos.replies import OFTEN, RARE
from tests.chaos.stack import STOPPED_SECONDS, Stack

GAP_SECONDS = (3.0, 8.0)


class Soak:
    """One fault after the other while the workload runs."""

    def __init__(
        self,
        stack: Stack,
        books: Books,
        memory: Memory,
        is_over: Callable[[], bool],
        *,
        seed: int,
    ) -> None:
        self.stack, self.books, self.memory, self.is_over = stack, books, memory, is_over
        self._drawn = random.Random(f"{seed}:soak")
        self._stopped: dict[int, tuple[float, float]] = {}  # pid: since when, and when it may go on
        self.number = 0
        self.faults: list[tuple[int, str, Callable[[], object]]] = [
            (8, "order at a point", self._order),
            (4, "process killed", lambda: self._kill(self._name())),
            (2, "process stopped", self._stop_process),
            (2, "flush", lambda: self.stack.redis().flushall()),
            (1, "redis killed", lambda: self._kill("redis")),
            (1, "postgres stopped at once", self._stop_postgres),
            (2, "backends ended", self._terminate),
            (2, "lines to postgres reset", self.stack.postgres_line.reset),
            (2, "lines to redis reset", self.stack.redis_line.reset),
            (2, "replies lost", self._lose_replies),
            (1, "postgres frozen", lambda: self._freeze(self.stack.postgres_line.freeze)),
            (1, "redis frozen", lambda: self._freeze(self.stack.redis_line.freeze)),
        ]

    def run(self, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up and not self.is_over():
            _, name, fault = self._drawn.choices(self.faults, [weight for weight, _, _ in self.faults])[0]
            try:
                fault()
                self.number += 1
            except (psycopg.Error, redis.RedisError, OSError):
                name = "faults that missed"
            self.books.count(name)
            self._wait(self._drawn.uniform(*GAP_SECONDS))
        for action, pid in self.stack.recall():
            self._note_obeyed(action, pid)
        for pid in [*self._stopped]:
            self._wake(pid)
        say("the soak is over")

    def _wait(self, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        self.memory.sample()
        while time.monotonic() < give_up and not self.is_over():
            for pid, (_, due) in [*self._stopped.items()]:
                if time.time() >= due:
                    self._wake(pid)
            for action, pid in self.stack.obeyed():
                self._note_obeyed(action, pid)
            time.sleep(0.1)

    def _note_obeyed(self, action: str, pid: int) -> None:
        self.books.note_obeyed(action, pid)
        if action == "stop":
            self._stopped[pid] = (time.time(), time.time() + STOPPED_SECONDS)

    def _wake(self, pid: int) -> None:
        since, _ = self._stopped.pop(pid)
        if state_of(pid) == "T":
            self.books.note_zombie(pid, since)
            os.kill(pid, signal.SIGCONT)

    def _order(self) -> None:
        point = self._drawn.choice([point for point in ROLE if point not in ("CP-W2", "CP-D2", "CP-S6")])
        order = self.stack.orders / point
        order.with_name(f".{point}").write_text(f"{self._drawn.choice(ACTIONS)} {self._drawn.randint(1, 5)}")
        order.with_name(f".{point}").replace(order)

    def _name(self) -> str:
        return self._drawn.choice([one.name for one in self.stack.supervisor.processes])

    def _kill(self, name: str) -> None:
        self.books.note_death(self.stack.pid_of(name))
        self.stack.kill(name)

    def _stop_postgres(self) -> None:
        pid = self.stack.pid_of("postgres")
        self.books.note_death(pid)
        os.kill(pid, signal.SIGQUIT)

    def _stop_process(self) -> None:
        pid = self.stack.pid_of(self._name())
        os.kill(pid, signal.SIGSTOP)
        self.books.note_stop(pid)
        self._stopped[pid] = (time.time(), time.time() + self._drawn.uniform(2, 14))

    def _terminate(self) -> None:
        self.stack.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'lightfield-%'"
        )

    def _lose_replies(self) -> None:
        for kind in (*OFTEN, *RARE):
            self.stack.postgres_line.swallow(kind, 1)

    def _freeze(self, freeze: Callable[[], None]) -> None:
        freeze()
        self._wait(self._drawn.uniform(1, 6))
        self.stack.postgres_line.mend()
        self.stack.redis_line.mend()
