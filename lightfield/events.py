"""What workers tell Flower about messages, gathered for half a second at a time.

Celery publishes each event by itself, with a message of its own: a fifth of what a busy worker computed.
"""

from __future__ import annotations

import time
from typing import Any

from celery.worker import consumer

FLUSH_SECONDS = 0.5


class Consumer(consumer.Consumer):
    """Celery's, but for the pace of its events. A full buffer is published at once, as there."""

    hub: Any
    _flush_events_promise: Any
    _flush_at = 0.0  # monotonic

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # in the stubs a promise
        now = time.monotonic()
        if self.hub and now >= self._flush_at:
            self._flush_at = now + FLUSH_SECONDS
            self.hub.call_later(FLUSH_SECONDS, self._flush_events_promise)
