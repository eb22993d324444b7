"""After a minute without Redis the workers' next look was up to 16 seconds away, and the backlog with it."""

from __future__ import annotations

import itertools

import pytest
from kombu.exceptions import OperationalError

from lightfield.celery import app
from lightfield.local import ports


def test_given_redis_away_then_a_worker_looks_for_it_at_least_every_second() -> None:
    pauses: list[float] = []

    nobody = f"redis://127.0.0.1:{ports.any_free('127.0.0.1')}/0"
    with app.connection_for_read(nobody) as connection, pytest.raises(OperationalError):
        connection.ensure_connection(lambda error, pause: pauses.append(pause), 5)

    assert len(pauses) == 5
    assert all(earlier <= later <= 1.0 for earlier, later in itertools.pairwise(pauses))
