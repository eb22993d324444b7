"""Bells: messages that say "look now". They carry ids only and may be lost, doubled or late without harm.

Ringing never blocks and never raises: a bell goes to the one ringer thread of the process, which publishes it
over a connection of its own with 0.5 s timeouts. While Redis does not answer, a breaker drops bells at once;
the sweeper rings again from the rows. Ring only after COMMIT (`transaction.on_commit(…, robust=True)`).

`dispatch` and `admit` bells are coalesced: a flag in Redis says that somebody's message is already on its way.
The handler calls `answered()` *before* it reads the rows, so a later change rings anew. The flag expires by
itself and the sweeper ignores it: a message that was lost costs seconds, never work.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import redis

from lightfield.kernel import impatient_redis, wire
from lightfield.kernel.crashpoint import crashpoint

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.5  # for one exchange with Redis
EXPIRES_SECONDS = 30  # a message older than this has been rung again by the sweeper
FLAG_SECONDS = 5
FAILURES_TO_OPEN = 3
OPEN_SECONDS = (1.0, 2.0, 5.0)  # how long the breaker stays open, growing
MOST_PENDING = 10_000  # bells that one process keeps for its ringer
# Flag and message in one exchange; the length of the queue, or 0 if a message was on its way.
RING_ONCE = """
if redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[1]) or ARGV[2] == '1' then
  return redis.call('LPUSH', KEYS[2], ARGV[3])
end
return 0
"""
ADVANCE_AT_ONCE = 25  # run ids in one `advance` message


@dataclass(frozen=True)
class Bell:
    """One message: which task, on which queue, with which ids. `topic` names the flag of a coalesced bell."""

    task: str
    queue: str
    args: tuple[Any, ...] = ()
    topic: str | None = None
    forced: bool = False  # ignores the flag: the sweeper's, and that of a drain which leaves events
    retries: int = 0  # shown by Flower
    shown: str | None = field(default=None, compare=False)


def ring_dispatch(shard: int, *, forced: bool = False) -> None:
    """Events of this shard wait for the dispatcher."""
    _ringer.ring(
        Bell("executions.dispatch_shard", "fast", (shard,), topic=f"dispatch:{shard}", forced=forced)
    )


def ring_admit(lane: str, *, forced: bool = False) -> None:
    """Steps of this lane may be admitted."""
    _ringer.ring(Bell("executions.admit", "fast", (lane,), topic=f"admit:{lane}", forced=forced))


def ring_advance(run_ids: Sequence[str]) -> None:
    """These runs stand at a fast step, or at a sleep that is over."""
    for start in range(0, len(run_ids), ADVANCE_AT_ONCE):
        _ringer.ring(Bell("executions.advance", "fast", (list(run_ids[start : start + ADVANCE_AT_ONCE]),)))


def ring_execute(
    lane: str, step_run_ids: Sequence[int], *, retries: int = 0, shown: str | None = None
) -> None:
    """These steps are queued: one message, whose worker runs them side by side."""
    _ringer.ring(Bell("executions.execute_steps", lane, (list(step_run_ids),), retries=retries, shown=shown))


def ring_cell(lane: str, step_run_ids: Sequence[int]) -> None:
    """These steps lost their worker: run them in a process of their own.

    Whoever starts it waits for it. The fast worker's few threads must not, so fast steps' cells are the http
    worker's to start.
    """
    queue = "http" if lane == "fast" else lane
    _ringer.ring(Bell("executions.execute_in_cell", queue, (list(step_run_ids), lane)))


def ring_expire(run_ids: Sequence[str]) -> None:
    """These runs are over their workflow's timeout_seconds."""
    _ringer.ring(Bell("executions.expire_runs", "fast", (list(run_ids),)))


def ring_settle_effects() -> None:
    """Effects of ended steps are still undecided."""
    _ringer.ring(Bell("executions.settle_effects", "fast"))


def ring_notices(*, forced: bool = False) -> None:
    """Failures are to be told. Whoever sends waits for others, so not on `fast`."""
    _ringer.ring(Bell("executions.send_notices", "http", topic="notices", forced=forced))


def ring_ticks(*, forced: bool = False) -> None:
    """A schedule is due."""
    _ringer.ring(Bell("triggers.fire_ticks", "fast", topic="ticks", forced=forced))


def answered(topic: str) -> None:
    """The handler of a coalesced bell starts to look: later changes must ring again."""
    _ringer.answered(topic)


def flush(seconds: float = 1.0) -> bool:
    """Wait until every bell rung so far is published or dropped. For the end of a process."""
    return _ringer.flush(seconds)


def can_ring() -> bool:
    """Whether bells are heard now. For whoever notes in the rows that it rang: ask before, and outside a transaction."""
    return _ringer.can_ring()


class Rings(Protocol):
    def ring(self, bell: Bell) -> None: ...

    def answered(self, topic: str) -> None: ...

    def can_ring(self) -> bool: ...

    def flush(self, seconds: float) -> bool: ...


class Ringer:
    """The thread that publishes. Equal bells that wait together are published once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: OrderedDict[int | Bell, Bell] = OrderedDict()
        self._is_busy = False
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._open_until = 0.0  # monotonic
        self._busy_topics: set[str] = set()  # whose last bell found a message on its way

    def ring(self, bell: Bell) -> None:
        with self._changed:
            if len(self._pending) >= MOST_PENDING:
                return  # the sweeper will ring from the rows
            self._pending[bell if bell.topic else id(bell)] = bell
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def answered(self, topic: str) -> None:
        try:
            _redis().delete(_flag(topic))
        except redis.RedisError as error:
            logger.info("bell_flag_not_cleared", extra={"topic": topic, "error": str(error)})

    def can_ring(self) -> bool:
        """Whether Redis takes a write. If so the breaker is half open: bells pass, and the next failure opens it again.

        Nobody knows earlier that Redis is back than a worker that has just received a message.
        """
        try:
            _redis().set(_flag("can_ring"), 1, ex=FLAG_SECONDS)
        except redis.RedisError as error:
            logger.info("redis_takes_no_bells", extra={"error": str(error)})
            return False
        self._open_until = 0.0
        return True

    def flush(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending and not self._is_busy, timeout=seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._pending)
                _, bell = self._pending.popitem(last=False)
                self._is_busy = True
            if time.monotonic() < self._open_until:
                continue
            try:
                self._publish(bell)
                self._failures = 0
            except Exception as error:  # noqa: BLE001  whatever Redis does, the process goes on
                self._failed(bell, error)

    def _publish(self, bell: Bell) -> None:
        """At rest, flag and message in one exchange. While a topic is busy most bells end at its flag: ask that first."""
        must_push = bell.forced
        if bell.topic in self._busy_topics and not must_push:
            if not _redis().set(_flag(bell.topic), 1, nx=True, ex=FLAG_SECONDS):
                return
            self._busy_topics.discard(bell.topic)
            must_push = True
        message = wire.packed(
            bell.task,
            bell.queue,
            bell.args,
            expires=EXPIRES_SECONDS,
            retries=bell.retries,
            shown=bell.shown,
        )
        crashpoint("CP-W4")
        if bell.topic is None:
            _redis().lpush(bell.queue, message)
        elif not _redis().eval(
            RING_ONCE, 2, _flag(bell.topic), bell.queue, FLAG_SECONDS, int(must_push), message
        ):
            self._busy_topics.add(bell.topic)

    def _failed(self, bell: Bell, error: Exception) -> None:
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            step = min(self._failures - FAILURES_TO_OPEN, len(OPEN_SECONDS) - 1)
            self._open_until = time.monotonic() + OPEN_SECONDS[step]
            _hang_up()
        logger.warning(
            "bell_not_rung", extra={"task": bell.task, "error": str(error), "failures": self._failures}
        )


_ringer: Rings = Ringer()
_client: redis.Redis | None = None


def _redis() -> redis.Redis:
    global _client
    if _client is None:
        _client = impatient_redis.client(seconds=TIMEOUT_SECONDS)
    return _client


def _hang_up() -> None:
    global _client
    _client = None


def _flag(topic: str) -> str:
    return f"lightfield:bell:{topic}"


def use(ringer: Rings) -> Rings:
    """Ring through another ringer, e.g. one that records. Returns the one before."""
    global _ringer
    before, _ringer = _ringer, ringer
    return before


def _reset_after_fork() -> None:
    """A forked child has no ringer thread and must not share its parent's sockets."""
    use(Ringer())
    _hang_up()


os.register_at_fork(after_in_child=_reset_after_fork)
atexit.register(flush)
