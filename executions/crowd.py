"""How many steps of a process may want the interpreter at once.

Hundreds of steps can wait for an answer side by side: that costs nothing. Hundreds that are rendered, sent and
settled at the same time fight for the interpreter's lock, and each takes as long as all of them together. So a
worker takes new steps only while few of those it has are at work; how many it has follows from how long they
wait. What has begun never waits here.
"""

from __future__ import annotations

import threading

from executions.admission import FEW

MOST_AT_WORK = 12  # chosen; other numbers have not been measured yet


class Crowd:
    """Counts the steps at work. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._present = 0

    def join(self, number: int) -> None:
        """Begin with `number` steps, once there is room for one. One or two come alone: no flood, so they never wait."""
        with self._changed:
            self._changed.wait_for(lambda: self._present < self._most or number <= FEW)
            self._present += number
            if self._present < self._most:
                self._changed.notify()

    def leave(self, number: int = 1) -> None:
        """They have ended, or wait for an answer."""
        with self._changed:
            self._present -= number
            if self._present < self._most:
                self._changed.notify()

    def rejoin(self) -> None:
        """An answer has come: go on at once, whoever else is here."""
        with self._changed:
            self._present += 1


crowd = Crowd(MOST_AT_WORK)
