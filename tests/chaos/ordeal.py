"""One fault of the matrix: the tools it works with, and what is written down about it."""

from __future__ import annotations

import math
import os
import random
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg
import redis

from tests.chaos.books import Answer, Books
from tests.chaos.client import Operator, Sender
from tests.chaos.stack import Stack, wait_until


@dataclass(frozen=True)
class Spread:
    """How long something took, in seconds."""

    number: int
    p50: float
    p95: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        if not seconds:
            return cls(0, 0.0, 0.0, 0.0)
        ordered = sorted(seconds)
        p95 = ordered[math.ceil(len(ordered) * 0.95) - 1]
        return cls(len(ordered), statistics.median(ordered), p95, ordered[-1])

    def __str__(self) -> str:
        if not self.number:
            return "none"
        return f"{self.number} · p50 {self.p50:.3f} s · p95 {self.p95:.3f} s · max {self.most:.3f} s"


@dataclass
class Ordeal:
    """One fault: what was done, what senders saw meanwhile, and how long after its end all before it had ended."""

    name: str
    deeds: int
    seconds: float
    drained_seconds: float | None
    problem: str = ""
    firsts: list[Answer] = field(default_factory=list)  # to webhooks first sent during the fault
    notes: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> float:
        """Share of webhooks answered with 2xx at the first try."""
        return sum(one.is_acknowledged for one in self.firsts) / len(self.firsts) if self.firsts else 1.0

    @property
    def latency(self) -> Spread:
        return Spread.of([one.seconds for one in self.firsts])


class Trial:
    """What a fault is given: the installation, the outside, draws from the seed, and its length."""

    def __init__(
        self,
        stack: Stack,
        books: Books,
        sender: Sender,
        operator: Operator,
        is_over: Callable[[], bool],
        *,
        name: str,
        seed: int,
        scale: float,
        number: int | None = None,
    ) -> None:
        self.stack, self.books, self.sender, self.operator, self.is_over = (
            stack,
            books,
            sender,
            operator,
            is_over,
        )
        self.scale = scale
        self.number = number  # how often, where the command line says it
        self.drawn = random.Random(f"{seed}:{name}")
        self.notes: list[str] = []
        self.problems: list[str] = []

    def note(self, words: str) -> None:
        self.notes.append(words)

    def last(self, seconds: float) -> None:
        """Let the fault last, scaled."""
        give_up = time.monotonic() + seconds * self.scale
        while time.monotonic() < give_up and not self.is_over():
            time.sleep(0.1)

    def every(self, pause: float, seconds: float, deed: Callable[[], object]) -> int:
        """Do it again and again for so long, scaled. How often."""
        give_up = time.monotonic() + seconds * self.scale
        done = 0
        while time.monotonic() < give_up and not self.is_over():
            done += self.tried(deed)
            time.sleep(pause)
        return done

    def times(self, number: int, deed: Callable[[], object]) -> int:
        """Do it so often, scaled, at least once."""
        done = 0
        for _ in range(max(1, round(number * self.scale))):
            if self.is_over():
                break
            done += self.tried(deed)
        return done

    def tried(self, deed: Callable[[], object]) -> int:
        """1, or 0 when what was to be hit was down already."""
        try:
            deed()
        except (redis.RedisError, psycopg.Error, OSError):
            self.books.count("faults that missed")
            return 0
        return 1

    def until(self, condition: Callable[[], object], seconds: float, *, every: float = 0.1) -> bool:
        return wait_until(lambda: self.is_over() or condition(), seconds, every=every)

    def pause(self, least: float, most: float) -> None:
        time.sleep(self.drawn.uniform(least, most))

    def redis_answers(self) -> bool:
        try:
            return bool(self.stack.redis().ping())
        except redis.RedisError:
            return False

    def postgres_answers(self) -> bool:
        try:
            with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.Error:
            return False

    def kill(self, name: str) -> int:
        """SIGKILL to a process or server by its name, written down. Returns its pid."""
        return self.end(name, signal.SIGKILL)

    def end(self, name: str, number: signal.Signals) -> int:
        """The same with another signal that ends it."""
        pid = self.stack.pid_of(name)
        self.books.note_death(pid)
        os.kill(pid, number)
        return pid
