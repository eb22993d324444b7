"""Whether this process was told to end. Set by a signal handler, so it takes no lock; whoever waits looks now and then."""

from __future__ import annotations

_is_requested = False


def request() -> None:
    global _is_requested
    _is_requested = True


def is_requested() -> bool:
    return _is_requested
