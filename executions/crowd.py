"""How many steps of a process may want the interpreter at once, and who goes first.

Hundreds of steps can wait for an answer side by side: that costs nothing. Hundreds that are rendered, sent and
settled at the same time fight for the interpreter's lock, and each takes as long as all of them together. So a
worker takes new steps only while few of those it has are at work; how many it has follows from how long they
wait. What has begun never waits here for room, though it may for a moment out of courtesy.

A workflow with many runs in this process gives way, for a moment before each request, to one that has next to none:
what is a fraction of a flood's time is all the time that a single run takes.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from executions.admission import FEW

MOST_AT_WORK = 6
COURTESY_SECONDS = 0.05  # the longest that one step of a flood waits for others: it must go on, too
QUICK_SECONDS = 0.02  # a run that waits for an answer may be back any moment; after that it is a slow one


@dataclass
class _Runs:
    """Of one workflow in this process: how many there are, and how many of them do not wait for an answer."""

    here: int = 0
    at_work: int = 0
    sent_at: float = 0.0  # monotonic, when one of them began to wait for its answer


class Crowd:
    """Counts the steps at work. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._present = 0
        self._singles_coming = 0  # that joined and whose workflow is not known yet
        self._runs: dict[str, _Runs] = {}

    def join(self, number: int) -> None:
        """Begin with `number` steps, once there is room for one. One or two come alone: no flood, so they never wait."""
        with self._changed:
            if number > FEW:
                self._changed.wait_for(lambda: not self._is_single_at_work(), COURTESY_SECONDS)
                self._changed.wait_for(lambda: self._present < self._most)
            else:
                self._singles_coming += number
            self._present += number
            self._changed.notify_all()

    def joined(self, number: int, begun: int) -> None:
        """Of `number` that joined, so many have begun; the others found nothing to do."""
        with self._changed:
            if number <= FEW:
                self._singles_coming -= number
            self._present -= number - begun
            self._changed.notify_all()

    def begin(self, workflow_id: str) -> None:
        """One of those that joined is a run of this workflow."""
        with self._changed:
            runs = self._runs.setdefault(workflow_id, _Runs())
            runs.here += 1
            runs.at_work += 1

    def end(self, workflow_id: str) -> None:
        """It was at work, and has left this process."""
        with self._changed:
            runs = self._runs[workflow_id]
            runs.here -= 1
            runs.at_work -= 1
            if not runs.here:
                del self._runs[workflow_id]
            self._present -= 1
            self._changed.notify_all()

    def wait_for_answer(self, workflow_id: str) -> None:
        """A run of this workflow waits for an answer."""
        with self._changed:
            runs = self._runs[workflow_id]
            runs.at_work -= 1
            runs.sent_at = time.monotonic()
            self._present -= 1
            self._changed.notify_all()

    def answer_came(self, workflow_id: str) -> None:
        """The answer has come: go on at once, whoever else is here."""
        with self._changed:
            self._runs[workflow_id].at_work += 1
            self._present += 1

    def give_way(self, workflow_id: str) -> None:
        """Wait for a moment if this workflow has many runs here, while a run of one with next to none is at work."""
        with self._changed:
            if self._runs[workflow_id].here > FEW:
                self._changed.wait_for(lambda: not self._is_single_at_work(), COURTESY_SECONDS)

    def _is_single_at_work(self) -> bool:
        just_now = time.monotonic() - QUICK_SECONDS
        return self._singles_coming > 0 or any(
            runs.here <= FEW and (runs.at_work or runs.sent_at > just_now) for runs in self._runs.values()
        )


crowd = Crowd(MOST_AT_WORK)
