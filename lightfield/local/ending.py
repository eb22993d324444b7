"""Being told to end. Signals are only counted; they are acted on where we wait.

An exception raised by a signal handler could get lost: Python ignores those raised while it forks, and a
supervisor forks a lot.
"""

from __future__ import annotations

import signal


class Ended(Exception):
    """We were told to end; everything unwinds in order."""


class Ending:
    """How often this process was told to end. Commands that never `listen` keep Python's own behaviour."""

    def __init__(self) -> None:
        self._told = 0

    def listen(self, *signals: signal.Signals) -> None:
        for number in signals:
            signal.signal(number, self._count)

    def _count(self, *_: object) -> None:
        self._told += 1

    def is_requested(self) -> bool:
        return self._told > 0

    def is_urgent(self) -> bool:
        """Told twice: nobody waits for running steps any more."""
        return self._told > 1

    def check(self) -> None:
        """Called in every wait.

        Raises:
            Ended: we were told to end.
        """
        if self.is_requested():
            raise Ended


ending = Ending()
