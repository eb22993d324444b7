"""What the processes of an installation spent, told to each other through Redis, beside the requests.

A thread sleeps until something was spent, gathers for a tenth of a second, and exchanges it in one script: Redis adds
it to each bucket and answers how far that is ahead. What two processes let through too much in between is a debt in
the bucket, which both then wait out: over a second the limit is kept, however many processes there are.

While Redis does not answer, each process keeps the limit by itself, and a breaker keeps the thread from asking. No
request ever waits for this.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import redis

from lightfield.kernel import impatient_redis
from triggers.throttling.buckets import Buckets, Spent

logger = logging.getLogger(__name__)

GATHER_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 0.5
OPEN_SECONDS: Final = 5.0  # how long the breaker stays open
PREFIX: Final = "lightfield:throttle:"

# By the server's clock; only durations leave it. A key lives until its bucket is full.
EXCHANGE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local ahead = {}
for place, key in ipairs(KEYS) do
  local full_at = tonumber(redis.call('GET', key) or 0)
  if not (full_at > now) then full_at = now end
  full_at = math.min(full_at + tonumber(ARGV[2 * place - 1]), now + tonumber(ARGV[2 * place]))
  redis.call('SET', key, string.format('%.3f', full_at), 'PX', math.ceil(full_at - now))
  ahead[place] = string.format('%.3f', full_at - now)
end
return ahead
"""


def exchange(spent: Mapping[str, Spent]) -> dict[str, float]:
    """Tell what was spent; how many seconds each bucket is then away from being full.

    Whatever Redis says, none is believed to be emptier than its limit allows.

    Raises:
        redis.RedisError: it may have been told, or not.
    """
    keys = [f"{PREFIX}{key}" for key in spent]
    amounts = [round(seconds * 1000, 3) for one in spent.values() for seconds in (one.seconds, one.furthest)]
    answer = _redis().eval(EXCHANGE, len(keys), *keys, *amounts)
    return {
        key: _believed(float(ahead) / 1000, one.furthest)
        for (key, one), ahead in zip(spent.items(), answer, strict=True)
    }


def _believed(seconds: float, furthest: float) -> float:
    return seconds if 0 <= seconds <= furthest + 0.001 else 0.0  # neither what is no number


class Sharing:
    """The thread that exchanges for one table of buckets."""

    def __init__(
        self, buckets: Buckets, ask: Callable[[Mapping[str, Spent]], Mapping[str, float]] = exchange
    ) -> None:
        self._buckets = buckets
        self._ask = ask
        self._something = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Something was spent."""
        if self._something.is_set():
            return
        self._something.set()
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="throttle", daemon=True)
                    thread.start()
                    self._thread = thread

    def once(self) -> bool:
        """Exchange now, in this thread. False: Redis did not answer."""
        spent = self._buckets.told()
        if not spent:
            return True
        try:
            ahead = self._ask(spent)
        except Exception as error:  # noqa: BLE001  whatever Redis does, the process goes on
            _hang_up()
            logger.warning("throttle_not_shared", extra={"error": str(error)})
            return False
        self._buckets.learn(ahead)
        return True

    def _run(self) -> None:
        while True:
            self._something.wait()
            time.sleep(GATHER_SECONDS)
            self._something.clear()
            if not self.once():
                time.sleep(OPEN_SECONDS)


_client: redis.Redis | None = None


def _redis() -> redis.Redis:
    global _client
    if _client is None:
        _client = impatient_redis.client(seconds=TIMEOUT_SECONDS)
    return _client


def _hang_up() -> None:
    global _client
    _client = None


def reset_after_fork() -> None:
    """A child must not share its parent's socket."""
    _hang_up()
