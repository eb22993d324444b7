"""What this process knows of requests that became no event, until a thread writes it down.

An answer never waits for its delivery: to note costs a few microseconds and no statement, at a known address as at an
unknown one. Twice a second all that was noted is one statement. A process that is killed loses half a second of it;
an accepted request is not among them, since it is written with its event.

Bounded (`page`): what is beyond is counted, by address, verdict and minute. While the database is away, what is noted in
full waits, since it can be written twice without harm; counters are dropped, since what was sent may have arrived. What
it will never take is written one by one, so that one impossible note does not hold up all others for ever.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
import time
from typing import Any, Final
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from lightfield.kernel import sql
from lightfield.kernel.errors import RequestRefused
from triggers.decisions import Verdict
from triggers.decisions import note as note_decision
from triggers.decisions.verdicts import NOTED
from triggers.deliveries.arrivals import Arrival
from triggers.deliveries.models import ANSWERS, DeliveryVerdict
from triggers.deliveries.page import Counter, Page
from triggers.deliveries.statements import NOTED as WRITE

logger = logging.getLogger(__name__)

GATHER_SECONDS: Final = 0.5
PAUSE_SECONDS: Final = 5.0  # after a failure
GRACE_SECONDS: Final = 5.0  # at the end of a process, for what its thread is writing
MOST_BODY: Final = 16 << 10  # bytes of a mismatch's body that are kept
# What repeats another event is told where that was found; the others by the flush, which finds out whose address it was.
TOLD_ELSEWHERE: Final = frozenset({DeliveryVerdict.DUPLICATE, DeliveryVerdict.BODY_MISMATCH})


class Desk:
    """The page that is being written, and the thread that carries it away; without one, somebody calls `flush`."""

    def __init__(self, *, is_threaded: bool = True) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # one flush at a time: who comes second finds it done
        self._page = Page()
        self._is_threaded = is_threaded
        self._something = threading.Event()
        self._thread: threading.Thread | None = None
        self._pause_until = 0.0  # monotonic

    def write(self, note: dict[str, Any]) -> None:
        with self._lock:
            self._page.write(note)
        self._wake()

    def count(self, counter: Counter, address: str) -> None:
        with self._lock:
            self._page.count(counter, address, time.monotonic())
        self._wake()

    def flush(self, *, grace: float = -1) -> bool:
        """Write what is there, in this thread. False: the database did not take it.

        Args:
            grace: seconds to wait for a flush that is underway; -1: as long as it takes.
        """
        is_ours = self._writing.acquire(timeout=grace)
        try:
            return self._write()
        finally:
            if is_ours:
                self._writing.release()

    def _write(self) -> bool:
        with self._lock:
            page, self._page = self._page, Page()
        if page.dropped:
            logger.warning("deliveries_dropped", extra={"count": page.dropped, "error": "too many at once"})
        if page.is_empty:
            return True
        try:
            _store(page)
        except (OperationalError, InterfaceError) as error:
            self._keep(page, error)
            return False
        except Exception as error:  # noqa: BLE001  whatever the database does, the process goes on
            return self._write_apart(page, error)
        return True

    def _write_apart(self, page: Page, error: Exception) -> bool:
        """The database will never take all of this page: what it does not take alone is dropped."""
        logger.warning("deliveries_written_apart", extra={"error": type(error).__name__})
        parts = page.parts()
        for position, part in enumerate(parts):
            try:
                _store(part)
            except (OperationalError, InterfaceError) as away:
                self._keep(Page.of(parts[position:]), away)
                return False
            except Exception as refused:  # noqa: BLE001  of this part too; the others are tried all the same
                dropped = {"count": part.total, "error": type(refused).__name__}
                logger.warning("deliveries_dropped", extra=dropped)
        return True

    def _keep(self, page: Page, error: Exception) -> None:
        lost = sum(found.count for found in page.counters.values())
        logger.warning("deliveries_not_written", extra={"counted": lost, "error": type(error).__name__})
        self._pause_until = time.monotonic() + PAUSE_SECONDS
        with self._lock:
            newer, self._page = self._page, Page()
            for note in page.notes + newer.notes:
                self._page.write(note)
            for counter, counted in newer.counters.items():
                self._page.count(counter, counted.address, counted.last_at, times=counted.count)

    def _wake(self) -> None:
        if not self._is_threaded or self._something.is_set():
            return
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="deliveries", daemon=True)
                thread.start()  # may fail: then the next note tries again
                self._thread = thread
        self._something.set()

    def _run(self) -> None:
        while True:
            self._something.wait()
            time.sleep(max(GATHER_SECONDS, self._pause_until - time.monotonic()))
            self._something.clear()
            try:
                if not self.flush():
                    self._something.set()
                connection.close()  # back to the pool, which others need
            except Exception:  # nobody would start another thread
                logger.exception("deliveries_flush_failed")


def _store(page: Page) -> None:
    """Write a page and tell its decisions. Raises what the database does."""
    for trigger_id, delivery_id, verdict, code, count, detail, _age in _written(page):
        _tell(trigger_id, delivery_id, verdict, code, count, json.loads(detail or "{}"))


@sql.retrying_conflicts
def _written(page: Page) -> list[tuple[Any, ...]]:
    """Desks of several processes count in the same rows: who gives way has written nothing, and comes again."""
    return sql.rows(WRITE, {"notes": page.as_json(time.monotonic())})


_desk = Desk()


def note(
    arrival: Arrival,
    verdict: DeliveryVerdict,
    *,
    trigger_id: int | None = None,
    code: str | None = None,
    detail: dict[str, Any] | None = None,
    answer: int | None = None,
    event_id: UUID | None = None,
    body: str | None = None,
) -> None:
    """Remember a request that became no event. Never raises, never waits, no statement.

    Args:
        trigger_id: whose address it is; None: the thread finds out by the arrival's hash, and if it is nobody's, the
            request is only counted.
        detail: small and JSON-safe, for people who may change the trigger, e.g. {"check": "no_matching_signature"}.
        answer: HTTP status; None: the verdict's own.
        event_id: of a repetition, the event that was there first.
        body: JSON text to be inspected; kept up to 16 KiB.
    """
    try:
        _desk.write(
            {
                "id": str(arrival.id),
                "trigger_id": trigger_id,
                "token_hash": arrival.token_hash,
                "came_at": arrival.came_at,
                "address": arrival.address,
                "headers": arrival.headers,
                "digest": arrival.digest.hex() if arrival.digest else None,
                "size": arrival.size,
                "content_type": arrival.content_type,
                "verdict": str(verdict),
                "code": code,
                "detail": detail or {},
                "answer": answer or ANSWERS[verdict],
                "event_id": str(event_id) if event_id else None,
                "body": body if body is not None and len(body.encode()) <= MOST_BODY else None,
            }
        )
    except Exception:
        logger.exception("delivery_not_noted")


def note_refusal(arrival: Arrival, refusal: RequestRefused) -> None:
    """Remember that a request was answered with one of our errors, whoever's address it was."""
    status = refusal.entry.status or 400
    if status == ANSWERS[DeliveryVerdict.THROTTLED]:
        note_throttled(arrival.token_hash, arrival.address)
    else:
        note(arrival, DeliveryVerdict.MALFORMED, code=refusal.code, answer=status)


def note_throttled(token_hash: str, address: str) -> None:
    """Count a request that was refused unread because there were too many: one row for each address and minute."""
    verdict = DeliveryVerdict.THROTTLED
    try:
        _desk.count((None, token_hash, str(verdict), "webhook.throttled", ANSWERS[verdict]), address[:64])
    except Exception:
        logger.exception("delivery_not_noted")


def flush() -> bool:
    """Write now what this process noted. False if the database did not take it."""
    return _desk.flush()


def use(desk: Desk) -> Desk:
    """Note at another desk, e.g. one without a thread. Returns the one before."""
    global _desk
    before, _desk = _desk, desk
    return before


def _tell(
    trigger_id: int,
    delivery_id: UUID | None,
    verdict: str,
    code: str | None,
    count: int,
    detail: dict[str, Any],
) -> None:
    """The decision's own list: why did it not fire? Which check of a signature failed is not for everybody there either."""
    if verdict in TOLD_ELSEWHERE or verdict not in NOTED:
        return
    told: dict[str, Any] = {"source": "webhook", **detail}
    if code and verdict == DeliveryVerdict.MALFORMED:
        told["code"] = code
    if delivery_id:
        told["delivery_id"] = str(delivery_id)
    note_decision(trigger_id=trigger_id, verdict=Verdict(verdict), detail=told, count=count)


def _reset_after_fork() -> None:
    """A forked child has no thread that carries; what its parent noted is the parent's to write."""
    use(Desk())


os.register_at_fork(after_in_child=_reset_after_fork)


def _flush_at_the_end() -> None:
    """The thread may be in the middle of a page, and ends with the process: it is waited for."""
    _desk.flush(grace=GRACE_SECONDS)


atexit.register(_flush_at_the_end)
