"""One fault of the matrix: the tools it works with, and what is written down about it."""

from __future__ import annotations

import http.client
import math
import os
import random
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psycopg
import redis

from tests.chaos.books import Answer, Books
from tests.chaos.client import Operator, Sender
from tests.chaos.stack import Stack, wait_until

ENOUGH = 0.9  # of deeds at a rate, and of the webhooks that a rate says
TRIES = 3  # of a deed that missed
MOST_TIMES_LONGER = 1.5  # than planned a fault may last, to make up for deeds that missed


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
    """One fault: what was done, what senders saw meanwhile, and how long after its end all before it had ended.

    Own seconds are those of the clock that goes slower where others use the machine.
    """

    name: str
    deeds: int
    wanted: int  # deeds
    least: int  # of them, for it to have been that fault
    seconds: float
    own_seconds: float
    firsts: list[Answer | None] = field(
        default_factory=list
    )  # to webhooks first sent during it; None: no answer yet
    drained_seconds: float | None = None
    drained_own: float | None = None
    patience: float = 30.0
    problem: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> float:
        """Share of webhooks answered with 2xx at the first try; of none, nothing was accepted."""
        accepted = sum(one is not None and one.is_acknowledged for one in self.firsts)
        return accepted / len(self.firsts) if self.firsts else 0.0

    @property
    def latency(self) -> Spread:
        return Spread.of([one.seconds for one in self.firsts if one is not None])

    @property
    def is_late(self) -> bool:
        """All had ended in time only by the clock that goes slower."""
        return (self.drained_seconds or 0) > self.patience

    @property
    def stretch(self) -> float:
        """How many real seconds one of ours took during the fault."""
        return max(1.0, self.seconds / max(self.own_seconds, 0.001))


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
        self.wanted = 0  # deeds, by scale
        self.least = 0  # so many have to be done
        self.notes: list[str] = []
        self.problems: list[str] = []

    def note(self, words: str) -> None:
        self.notes.append(words)

    def last(self, seconds: float) -> None:
        """Let the fault last, scaled."""
        give_up = time.monotonic() + seconds * self.scale
        while time.monotonic() < give_up and not self.is_over():
            time.sleep(0.1)

    def every(self, pause: float, seconds: float, deed: Callable[[], object], *, each: int = 1) -> int:
        """Do it again and again for so long, scaled, at a fixed rate. How often; `each` time counts for so many.

        What could not be done in its moment, since its object was away or the machine was busy, is made up for.
        """
        length = seconds * self.scale
        number = max(1, int(length / pause))
        self.wanted += number * each
        self.least += math.ceil(number * ENOUGH) * each
        began = due = time.monotonic()
        done = 0
        while time.monotonic() < began + length or (
            done < number and time.monotonic() < began + MOST_TIMES_LONGER * length
        ):
            if self.is_over():
                break
            done += self.tried(deed)
            due += pause
            time.sleep(max(0.0 if done < number else pause, due - time.monotonic()))
        return done * each

    def over_and_over(self, pause: float, seconds: float, deed: Callable[[], object]) -> int:
        """Do it for so long, scaled, however long one takes. How often; once is enough."""
        self.wanted, self.least = self.wanted + 1, self.least + 1
        give_up = time.monotonic() + seconds * self.scale
        done = 0
        while time.monotonic() < give_up and not self.is_over():
            done += self.tried(deed)
            time.sleep(pause)
        return done

    def times(self, number: int, deed: Callable[[], object]) -> int:
        """Do it so often, scaled, at least once; again where it missed."""
        number = max(1, round(number * self.scale))
        self.wanted, self.least = self.wanted + number, self.least + number
        done = 0
        for _ in range(TRIES * number):
            if self.is_over() or done == number:
                break
            if not self.tried(deed):
                time.sleep(0.5)
                continue
            done += 1
        return done

    def tried(self, deed: Callable[[], object]) -> int:
        """1, or 0 when it said False, or what was to be hit was down already."""
        try:
            hit = deed() is not False
        except (redis.RedisError, psycopg.Error, OSError):
            hit = False
        if not hit:
            self.books.count("faults that missed")
        return int(hit)

    def until(self, condition: Callable[[], object], seconds: float, *, every: float = 0.1) -> bool:
        return wait_until(lambda: self.is_over() or condition(), seconds, every=every)

    def pause(self, least: float, most: float) -> None:
        time.sleep(self.drawn.uniform(least, most))

    def web_answers(self) -> bool:
        connection = http.client.HTTPConnection(urlsplit(self.stack.api.base).netloc, timeout=2)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

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
