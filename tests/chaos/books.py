"""What happened outside, written down where no crash reaches: who was sent what, who received what."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

SERVERS = ("postgres", "redis")


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
    began_at: float | None = None  # its first try, answered or not
    answers: list[Answer] = field(default_factory=list)

    @property
    def acknowledged(self) -> Answer | None:
        return next((answer for answer in self.answers if answer.is_acknowledged), None)


@dataclass
class Peer:
    """The other end of a connection to the sink: its port and, once looked up, its process."""

    port: int
    pid: int | None = None
    is_looked_up: bool = False


@dataclass
class Zombie:
    """A process that was stopped for longer than its leases and then woken. Instants in wall-clock seconds.

    `last_at`: from then on its number may belong to another process.
    """

    pid: int
    stopped_at: float
    woken_at: float
    last_at: float = float("inf")


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
    peer: Peer | None = None


@dataclass(frozen=True)
class Ended:
    """A process that the supervisor found ended. `was_silent`: its checkup killed it."""

    name: str
    pid: int
    returncode: int
    at: float
    was_silent: bool = False


class Books:
    """Thread-safe. Read freely once everything is quiet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.deliveries: dict[str, Delivery] = {}
        self.arrivals: list[Arrival] = []
        self.deeds: collections.Counter[str] = (
            collections.Counter()
        )  # cancels, replays, faults: for the report
        self.zombies: list[Zombie] = []
        self.deaths: list[tuple[int, float]] = []  # processes that we killed, and when
        self.stops: list[tuple[int, float]] = []  # that we stopped, for however long
        self.disturbances: list[tuple[float, str]] = []  # of a server or the line to it: what took it away
        self.ends: list[Ended] = []  # whatever the supervisor found ended
        self.killers: list[tuple[float, float]] = []  # when steps that end their process were about
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

    def note_death(self, pid: int) -> None:
        """A process is killed now: what it did as a zombie ends here too."""
        with self._lock:
            self.deaths.append((pid, time.time()))
            for zombie in self.zombies:
                if zombie.pid == pid:
                    zombie.last_at = min(zombie.last_at, time.time())

    def note_stop(self, pid: int) -> None:
        with self._lock:
            self.stops.append((pid, time.time()))

    def note_obeyed(self, action: str, pid: int) -> None:
        """A process did to itself what an order at a point said."""
        if action == "stop":
            self.note_stop(pid)
        else:
            self.note_death(pid)

    def disturb(self, what: str) -> None:
        """A server cannot be reached now, or does not answer."""
        with self._lock:
            self.disturbances.append((time.time(), what))

    def note_end(self, name: str, pid: int, returncode: int, *, was_silent: bool) -> None:
        with self._lock:
            self.ends.append(Ended(name, pid, returncode, time.time(), was_silent))
            if name in SERVERS:
                self.disturbances.append((time.time(), name))

    def note_zombie(self, pid: int, stopped_at: float) -> None:
        """It is woken now."""
        with self._lock:
            self.zombies.append(Zombie(pid, stopped_at, time.time()))

    def begun(self, since: float, until: float) -> list[Delivery]:
        """Webhooks that were first tried then."""
        with self._lock:
            found = [*self.deliveries.values()]
        return [one for one in found if one.began_at is not None and since <= one.began_at <= until]

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
