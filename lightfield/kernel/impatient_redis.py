"""A client of Redis that gives up soon and repeats nothing: redis-py would send again what may have arrived."""

from __future__ import annotations

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry


def client(*, seconds: float) -> redis.Redis:
    """Connects when it is first asked.

    Args:
        seconds: for connecting, and for each exchange.
    """
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
    )
