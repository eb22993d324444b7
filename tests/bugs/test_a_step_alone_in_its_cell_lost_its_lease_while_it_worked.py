"""A cell for one step had one database connection, and it stayed with the thread that ran the author's code.

The thread that keeps the lease then waited for it in vain: the lease ran out under a living step, another
worker started it again, and nobody witnessed how the first cell ended.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from executions import cells
from executions.cell_line import CellLine, Order
from executions.models import StepRun
from tests.bellboy import Bellboy
from tests.integration.test_cells_real import killer, url_of_the_test_database
from tests.killer_app import steps
from tests.staging import a_run, live
from workflows import step_types

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

LEASE_SECONDS = 1


def test_given_a_step_that_takes_longer_than_its_lease_then_the_lease_is_renewed_meanwhile(
    bellboy: Bellboy, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(step_types._registry, "fast_killer", steps.FastKiller())
    settings.SETTINGS_MODULE = "tests.settings_killer"
    monkeypatch.setenv("DATABASE_URL", url_of_the_test_database())
    monkeypatch.setenv("LIGHTFIELD_ROLE", "worker-http")  # with a pool of connections, as a worker's cells
    monkeypatch.setenv("LIGHTFIELD_LEASE_SECONDS", str(LEASE_SECONDS))
    monkeypatch.setattr(cells, "line", CellLine())
    step = live(a_run(killer(kind="fast_killer", way="hang")))
    StepRun.objects.update(rings=3)

    assert cells.line.run(Order("w:cell:1", "fast", (step.pk,), 4.0)) == -9
    assert cells.line.close(seconds=20)

    step.refresh_from_db()
    assert step.status == "running"
    assert step.started_at is not None
    assert step.lease_expires_at is not None
    assert step.lease_expires_at - step.started_at > timedelta(seconds=1.5 * LEASE_SECONDS)
