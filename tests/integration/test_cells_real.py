"""Cells as they are: children of a worker, and steps that end them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.db import connection

from executions import cells, sweeper
from executions.leases import worker_name
from executions.models import Attempt, Effect, Run, StepRun
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.staging import a_claimed_step, a_run, end_lease, live, say
from workflows import step_types

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step", "killers"),
]


@pytest.fixture
def killers(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Step types that end their process, here (to publish them) and in children on this test's database."""
    from tests.killer_app import steps

    for step_type in (steps.SlowKiller, steps.FastKiller):
        step_types.register(step_type)
    settings.SETTINGS_MODULE = "tests.settings_killer"
    monkeypatch.setenv("DATABASE_URL", url_of_the_test_database())
    yield
    for step_type in (steps.SlowKiller, steps.FastKiller):
        step_types.unregister(step_type.name)


def url_of_the_test_database() -> str:
    given = connection.get_connection_params()
    host, password = str(given.get("host") or ""), given.get("password")
    login = quote(given["user"]) + (f":{quote(password)}" if password else "")
    if host.startswith("/"):
        return f"postgresql://{login}@/{given['dbname']}?{urlencode({'host': host})}"
    return f"postgresql://{login}@{host}:{given.get('port') or 5432}/{given['dbname']}"


def killer(deaths: int = 1000, kind: str = "slow_killer") -> dict[str, Any]:
    return {"key": "kill", "type": kind, "config": {"deaths": deaths}}


def test_given_a_step_that_kills_its_process_when_tried_in_real_cells_then_it_fails_after_three_alone(
    bellboy: Bellboy,
) -> None:
    step = a_claimed_step(killer())
    innocent = a_claimed_step()
    for lost in (step, innocent):
        end_lease(lost.step_run_id)

    sweeper.sweep()
    bellboy.answer_all()

    row = StepRun.objects.get(pk=step.step_run_id)
    assert (row.status, row.error_code) == ("failed", "step.worker_lost")
    # in the worker, in a cell with the innocent one, and three times alone
    assert (row.attempts, row.lost, row.lost_alone) == (5, 5, 3)
    assert Effect.objects.get(step_run=row).status == "unknown"
    assert StepRun.objects.get(pk=innocent.step_run_id).lost <= 2


def test_given_a_step_that_killed_its_worker_once_then_a_real_cell_completes_it(bellboy: Bellboy) -> None:
    step = a_claimed_step(killer(deaths=1), say())
    end_lease(step.step_run_id)

    sweeper.sweep()
    bellboy.answer_all()
    # the child rang for the next step in Redis; the sweeper would find it here
    sql.rows("UPDATE executions_steprun SET due_at = due_at - interval '1 minute' WHERE status = 'ready'", {})
    sweeper.sweep()
    bellboy.answer_all()

    run = Run.objects.get()
    assert run.status == "completed"
    attempt = Attempt.objects.get(outcome="ok", step_run_id=step.step_run_id)
    assert attempt.worker.startswith(f"{worker_name()}:cell:")
    assert attempt.alone


def test_given_a_fast_step_that_kills_a_real_cell_then_the_next_one_completes_it(bellboy: Bellboy) -> None:
    run = a_run(killer(kind="fast_killer", deaths=1))
    StepRun.objects.update(rings=3)

    cells.run_in_child([live(run).pk], "fast")
    bellboy.answer_all()

    run.refresh_from_db()
    assert run.status == "completed"
    assert StepRun.objects.values_list("attempts", "lost", "lost_alone").get() == (2, 1, 1)
