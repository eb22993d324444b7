"""What this process noted of decisions since they were last carried to Redis.

To note costs a few microseconds: two dictionaries and a lock that nobody holds for longer. The thread that carries
starts with the first note, sleeps until there is one, and gathers for half a second.

Bounded in two ways. Counters are exact, for as many pairs of trigger and verdict as a process may know at once.
The notes themselves are a sample, the newest, in which each trigger may have an equal part: a busy one cannot push out
what was noted of the others.

While Redis does not answer, a breaker keeps the thread from asking. The notebook then fills up to its bounds and is
carried later; what was under way when Redis failed is dropped, since it may have arrived. Nobody else notices.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from django.db import transaction

from triggers.decisions import shelf
from triggers.decisions.noted import Note
from triggers.decisions.verdicts import Verdict

logger = logging.getLogger(__name__)

GATHER_SECONDS: Final = 0.5
OPEN_SECONDS: Final = 5.0  # how long the breaker stays open
MOST_NOTES: Final = 1_000
MOST_COUNTERS: Final = 5_000  # pairs of trigger and verdict


@dataclass(slots=True)
class Page:
    """Notes and counters up to their bounds. Not for two threads at once."""

    counts: dict[tuple[int, Verdict], int] = field(default_factory=dict)
    notes: dict[int, deque[Note]] = field(default_factory=dict)  # by trigger, the oldest first
    dropped: int = 0  # decisions that no counter tells of

    def write(self, note: Note) -> None:
        key = (note.trigger_id, note.verdict)
        counted = self.counts.get(key)
        if counted is None and len(self.counts) >= MOST_COUNTERS:
            self.dropped += note.count
            return
        self.counts[key] = (counted or 0) + note.count
        notes = self.notes.get(note.trigger_id)
        if notes is None:
            notes = self.notes[note.trigger_id] = deque()
        notes.append(note)
        self._keep_to_share(notes)

    def sample(self) -> list[Note]:
        """At most 1,000 notes, the oldest of each trigger first."""
        for notes in self.notes.values():
            self._keep_to_share(notes)
        return [note for notes in self.notes.values() for note in notes][-MOST_NOTES:]

    def _keep_to_share(self, notes: deque[Note]) -> None:
        """Each trigger may fill an equal part. One that had more, while it was alone, gives up when it comes next.

        Until then all together hold a few thousand at the worst. To look for the longest instead would cost every
        note 80 µs where a thousand triggers are busy; this costs none more than the others.
        """
        share = MOST_NOTES // len(self.notes) or 1
        while len(notes) > share:
            notes.popleft()

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class Notes(Protocol):
    def write(self, note: Note) -> None: ...

    def flush(self) -> bool: ...


class Notebook:
    """The page that is being written, and the thread that carries it away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._page = Page()
        self._is_waiting = False  # the thread knows of the page
        self._something = threading.Event()
        self._thread: threading.Thread | None = None
        self._open_until = 0.0  # monotonic

    def write(self, note: Note) -> None:
        with self._lock:
            self._page.write(note)
            if self._is_waiting:
                return
            self._is_waiting = True
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="notes", daemon=True)
                thread.start()
                self._thread = thread
        self._something.set()

    def flush(self) -> bool:
        """Carry what is there, in this thread. False: Redis did not take it, or is not asked right now."""
        if time.monotonic() < self._open_until:
            self._something.set()  # the thread comes again
            return False
        with self._lock:
            page, self._page = self._page, Page()
            self._is_waiting = False
        if not page.counts:
            return True
        try:
            shelf.put(page.counts, page.sample())
        except Exception as error:  # noqa: BLE001  whatever Redis does, the process goes on
            self._open_until = time.monotonic() + OPEN_SECONDS
            shelf.hang_up()
            logger.warning("decisions_dropped", extra={"count": page.total, "error": str(error)})
            return False
        if page.dropped:
            logger.warning("decisions_dropped", extra={"count": page.dropped, "error": "too many at once"})
        return True

    def _run(self) -> None:
        while True:
            self._something.wait()
            self._something.clear()
            time.sleep(max(GATHER_SECONDS, self._open_until - time.monotonic()))
            self.flush()


_notebook: Notes = Notebook()


def note(
    *,
    trigger_id: int,
    verdict: Verdict,
    subject: str = "",
    detail: dict[str, Any] | None = None,
    count: int = 1,
) -> None:
    """Remember why something did or did not start this trigger's workflow. Never raises, never waits, no statement.

    Call it once the decision stands: after COMMIT, or with `note_on_commit`.

    Args:
        subject: what it was about, for people, e.g. "opportunity 0192…"; cut at 200 characters.
        detail: small and JSON-safe, e.g. {"changed": ["name"], "watched": ["stage"]}; never secret. It is read up to
            half a second later, so do not change it afterwards. What is larger than 2,000 bytes is left out.
        count: how many decisions this is, for those made by the dozen.
    """
    try:
        _notebook.write(Note(trigger_id, verdict, subject, detail, count, time.monotonic()))
    except Exception:
        logger.exception("decision_not_noted", extra={"trigger_id": trigger_id})


def note_on_commit(
    *,
    trigger_id: int,
    verdict: Verdict,
    subject: str = "",
    detail: dict[str, Any] | None = None,
    count: int = 1,
) -> None:
    """`note` once the transaction is committed, and not if it is rolled back; outside of one, at once."""
    noted = partial(note, trigger_id=trigger_id, verdict=verdict, subject=subject, detail=detail, count=count)
    transaction.on_commit(noted, robust=True)


def flush() -> bool:
    """Carry now what this process noted. For the end of a process; False if it was not taken."""
    return _notebook.flush()


def use(notebook: Notes) -> Notes:
    """Note through another notebook, e.g. one that only records. Returns the one before."""
    global _notebook
    before, _notebook = _notebook, notebook
    return before


def _reset_after_fork() -> None:
    """A forked child has no thread that carries; what its parent noted is the parent's to carry."""
    use(Notebook())
    shelf.hang_up()


os.register_at_fork(after_in_child=_reset_after_fork)
atexit.register(flush)
