"""UUIDv7 (RFC 9562 section 5.7): Unix milliseconds, the fraction of the millisecond, then random bits.

Sorts by creation time, to a quarter of a microsecond: what one process does one after the other keeps its order.
"""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def uuid7(at: datetime | None = None) -> uuid.UUID:
    """A new UUIDv7, of now or of `at`. PostgreSQL's `uuidv7()` is built alike (section 6.2, method 3)."""
    nanos = time.time_ns() if at is None else (at - _EPOCH) // timedelta(microseconds=1) * 1000
    millis, rest = divmod(nanos, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return uuid.UUID(int=(millis << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | random)
