"""What happened outside, written down where no crash reaches: who was sent what, who received what."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """One try of a delivery. `status` is None when no answer came. `at` is wall-clock time, seconds."""

    at: float
    seconds: float
    status: int | None
    event_id: str | None = None
    is_duplicate: bool = False

    @property
    def is_acknowledged(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass
class Delivery:
    """One webhook: sent until it is acknowledged, always with the same key and body."""

    number: int
    key: str
    workflow: str
    answers: list[Answer] = field(default_factory=list)

    @property
    def acknowledged(self) -> Answer | None:
        return next((answer for answer in self.answers if answer.is_acknowledged), None)


@dataclass
class Arrival:
    """One request that the sink had read completely, noted before it was answered.

    `operation` names what a receiver would do once: the delivery's number and the step. `came_of_it`: `acted`,
    `repeated` (the key was known and honoured), `refused`, `reset` (acted, and the connection was broken).
    """

    at: float
    key: str
    digest: str
    operation: str
    honours_keys: bool
    came_of_it: str = ""


class Books:
    """Thread-safe. Read freely once everything is quiet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.deliveries: dict[str, Delivery] = {}
        self.arrivals: list[Arrival] = []
        self.deeds: collections.Counter[str] = (
            collections.Counter()
        )  # cancels, replays, faults: for the report
        self._known: dict[str, int] = collections.defaultdict(int)

    def begin(self, delivery: Delivery) -> None:
        with self._lock:
            self.deliveries[delivery.key] = delivery

    def note(self, arrival: Arrival) -> int:
        """Write an arrival down; the how-manieth under its key, from 1."""
        with self._lock:
            self.arrivals.append(arrival)
            self._known[arrival.key] += 1
            return self._known[arrival.key]

    def count(self, deed: str, number: int = 1) -> None:
        with self._lock:
            self.deeds[deed] += number

    def acknowledged(self) -> list[Delivery]:
        with self._lock:
            return [delivery for delivery in self.deliveries.values() if delivery.acknowledged]

    def arrivals_by_key(self) -> dict[str, list[Arrival]]:
        found: dict[str, list[Arrival]] = collections.defaultdict(list)
        for arrival in self.arrivals:
            found[arrival.key].append(arrival)
        return found

    def answers(self) -> Iterator[Answer]:
        for delivery in self.deliveries.values():
            yield from delivery.answers
