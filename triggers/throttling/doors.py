"""What views ask: may this request be served, and what became of it.

Three limits. An address of a webhook has one, so that one flood leaves the others their share; a sender has one, for all
it sends; and what a sender sent in vain has a much smaller one, which is what a guesser meets. Each is counted
before anything is looked up, by the hash of whatever stands in the path: whether it exists makes no difference.
"""

from __future__ import annotations

import math
import os
from typing import Final

from django.conf import settings

from lightfield.kernel.errors import RequestRefused
from triggers.throttling import sharing
from triggers.throttling.buckets import Buckets, Limit
from triggers.throttling.sharing import Sharing

# Answers that say the sender did something wrong. Not those that only say "again": a repeated key, too much, away.
IN_VAIN: Final = frozenset({400, 404, 408, 413, 415})


class Throttle:
    """The limits of one process, shared with the others."""

    def __init__(self, *, endpoint: Limit, address: Limit, refused: Limit) -> None:
        self._endpoint, self._address, self._refused = endpoint, address, refused
        self._buckets = Buckets()
        self._sharing = Sharing(self._buckets)

    def wait_of(self, token_hash: str, address: str) -> float:
        """0 and counted, or seconds until this request would have been served and not counted."""
        wait = self._buckets.take(
            ((f"hook:{token_hash[:32]}", self._endpoint), (f"from:{address}", self._address)),
            looks=((f"vain:{address}", self._refused),),
        )
        if not wait:
            self._sharing.wake()
        return wait

    def count_refusal(self, address: str) -> None:
        self._buckets.spend(f"vain:{address}", self._refused)
        self._sharing.wake()


def admit(token_hash: str, address: str) -> None:
    """Count a request to a webhook's address.

    Args:
        token_hash: of what stands in the path, known or not.
        address: the sender's, by `client_of`.

    Raises:
        RequestRefused: `webhook.throttled`, with `retry_after` in its metadata: whole seconds.
    """
    wait = _throttle().wait_of(token_hash, address)
    if wait:
        raise RequestRefused("webhook.throttled", retry_after=max(1, math.ceil(wait)))


def refused(address: str, status: int) -> None:
    """Count an answer against its sender, if it says that the request was in vain."""
    if status in IN_VAIN:
        _throttle().count_refusal(address)


_current: Throttle | None = None


def _throttle() -> Throttle:
    global _current
    if _current is None:
        _current = Throttle(
            endpoint=Limit(settings.LIGHTFIELD_WEBHOOK_RATE, settings.LIGHTFIELD_WEBHOOK_BURST),
            address=Limit(settings.LIGHTFIELD_SENDER_RATE, settings.LIGHTFIELD_SENDER_BURST),
            refused=Limit(settings.LIGHTFIELD_REFUSED_RATE, settings.LIGHTFIELD_REFUSED_BURST),
        )
    return _current


def use(throttle: Throttle | None) -> Throttle | None:
    """Count with another throttle; None: a new one, from the settings. Returns the one before."""
    global _current
    before, _current = _current, throttle
    return before


def _reset_after_fork() -> None:
    """A child has no thread that shares, and its own requests to count."""
    use(None)
    sharing.reset_after_fork()


os.register_at_fork(after_in_child=_reset_after_fork)
