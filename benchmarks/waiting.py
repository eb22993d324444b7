"""Waiting for something, with an end to patience."""

from __future__ import annotations

import time
from collections.abc import Callable

from lightfield.local.boot import CannotStart
from lightfield.local.ending import ending


class TookTooLong(CannotStart):
    """What was waited for did not come in time; the message is one line that says what."""


def until(what: str, condition: Callable[[], object], *, seconds: float, every: float = 0.05) -> None:
    """Ask until it is so.

    Raises:
        TookTooLong: it was not within `seconds`.
        Ended: we were told to end meanwhile.
    """
    give_up = time.monotonic() + seconds
    while not condition():
        ending.check()
        if time.monotonic() > give_up:
            raise TookTooLong(f"waited {seconds:.0f} s for {what} in vain")
        time.sleep(every)


def sleep(seconds: float) -> None:
    """Sleep, but end when told to."""
    give_up = time.monotonic() + seconds
    while (left := give_up - time.monotonic()) > 0:
        ending.check()
        time.sleep(min(left, 0.5))
