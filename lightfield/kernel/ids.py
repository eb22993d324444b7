"""UUIDv7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then random bits. Sorts by creation time."""

from __future__ import annotations

import os
import time
import uuid
from datetime import datetime


def uuid7(at: datetime | None = None) -> uuid.UUID:
    """A new UUIDv7, of now or of `at`. The twin of the database function `uuid_v7()`."""
    millis = time.time_ns() // 1_000_000 if at is None else int(at.timestamp() * 1000)
    value = (millis << 80) | int.from_bytes(os.urandom(10), "big")
    value &= ~(0xF000 << 64) & ~(0xC000 << 48)
    value |= (0x7000 << 64) | (0x8000 << 48)
    return uuid.UUID(int=value & ((1 << 128) - 1))
