"""Token buckets as instants: GCRA, the generic cell rate algorithm (ATM Forum, Traffic Management 4.0, 4.4.2).

A bucket is one number: when it will be full again. Each request moves that instant by one interval; a request that
would move it further ahead of now than the burst lasts is refused. A bucket whose instant has passed is full, which
is what an unknown one is: forgetting it changes nothing. So memory is bounded without losing count of anybody who
is near a limit.

Times are of the monotonic clock, in seconds.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

MOST_BUCKETS: Final = 20_000  # some 4 MB
MOST_SPENT: Final = 500  # buckets that one exchange with the other processes tells of
DEBT_SECONDS: Final = 1.0  # what several processes let through too much is waited out, up to this
FORGOTTEN_AT_ONCE: Final = 2  # full buckets, with each new one: the table shrinks while strangers come


@dataclass(frozen=True)
class Limit:
    rate: float  # requests a second
    burst: float  # requests at once, after a pause

    @cached_property
    def interval(self) -> float:
        return 1 / self.rate

    @cached_property
    def tolerance(self) -> float:
        """How far ahead of now a bucket's instant may lie: seconds until it is full again when it is empty."""
        return self.burst / self.rate

    @cached_property
    def furthest(self) -> float:
        """How far ahead a bucket's instant can lie at all."""
        return self.tolerance + DEBT_SECONDS


@dataclass(frozen=True, slots=True)
class Spent:
    """From one bucket, in seconds of its rate."""

    seconds: float
    furthest: float  # of its limit


Charge = tuple[str, Limit]


class Buckets:
    """All buckets of a process, and what was spent from them since the others were last told."""

    def __init__(self, *, most: int = MOST_BUCKETS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._full_at: OrderedDict[str, float] = OrderedDict()  # the longest unused first
        self._spent: dict[str, Spent] = {}

    def take(self, charges: Iterable[Charge], *, looks: Iterable[Charge] = ()) -> float:
        """Take one from each of `charges` and return 0; or, if one of them or of `looks` is empty, take none.

        Returns:
            Seconds until all of them would have had one.
        """
        charges = tuple(charges)
        with self._lock:
            now = self._clock()  # in here: read before, it would be older than what others have just written
            wait = max(self._wait(key, limit, now) for key, limit in (*charges, *looks))
            if wait > 0:
                return wait
            for key, limit in charges:
                self._spend(key, limit, now)
        return 0.0

    def spend(self, key: str, limit: Limit) -> None:
        """Take one, whether there is one or not: it has happened."""
        with self._lock:
            self._spend(key, limit, self._clock())

    def told(self) -> dict[str, Spent]:
        """What was spent since the last time this was asked; the busiest buckets, if there are many."""
        with self._lock:
            spent, self._spent = self._spent, {}
        if len(spent) > MOST_SPENT:
            busiest = sorted(spent, key=lambda key: spent[key].seconds, reverse=True)[:MOST_SPENT]
            return {key: spent[key] for key in busiest}
        return spent

    def learn(self, ahead: Mapping[str, float]) -> None:
        """What all processes together spent, as seconds until each bucket is full. Never makes one fuller."""
        with self._lock:
            now = self._clock()
            for key, seconds in ahead.items():
                # What was spent while the others were asked is not in their answer yet
                meanwhile = self._spent.get(key)
                full_at = now + seconds + (meanwhile.seconds if meanwhile else 0.0)
                if full_at > self._full_at.get(key, now):
                    self._full_at[key] = full_at

    def __len__(self) -> int:
        return len(self._full_at)

    def _wait(self, key: str, limit: Limit, now: float) -> float:
        full_at = self._full_at.get(key)
        if full_at is None:
            return 0.0
        wait = full_at + limit.interval - now - limit.tolerance
        return wait if wait > 1e-9 else 0.0  # sums of many intervals are not exact

    def _spend(self, key: str, limit: Limit, now: float) -> None:
        full_at = self._full_at.get(key)
        if full_at is None:
            self._make_room(now)
        ahead = max((full_at or now) - now, 0.0) + limit.interval
        self._full_at[key] = now + min(ahead, max(limit.furthest, limit.interval))
        self._full_at.move_to_end(key)
        before = self._spent.get(key)
        self._spent[key] = Spent((before.seconds if before else 0.0) + limit.interval, limit.furthest)
        if len(self._spent) > self._most:
            self._spent.clear()  # nobody asks: Redis is away

    def _make_room(self, now: float) -> None:
        """Full buckets go first, then whichever was not asked for longest."""
        for _ in range(FORGOTTEN_AT_ONCE):
            if not self._full_at:
                return
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) < self._most:
                return
            del self._full_at[oldest]
