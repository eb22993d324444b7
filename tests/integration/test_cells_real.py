"""Cells as they are: children of a worker, and steps that end them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.db import connection
from django.utils import timezone

from executions import cells, sweeper
from executions.cell_line import CellLine
from executions.leases import worker_name
from executions.models import Attempt, Effect, Run, StepRun
from lightfield.kernel import sql
from lightfield.local.boot import ROOT
from tests.bellboy import Bellboy
from tests.staging import a_claimed_step, a_run, end_lease, live, say
from workflows import step_types

MEMORY = pytest.param(
    "memory", marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the limit")
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step", "killers"),
]


@pytest.fixture
def killers(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Step types that end their process, here (to publish them) and in children on this test's database."""
    from tests.killer_app import steps

    kinds = (steps.SlowKiller, steps.FastKiller, steps.Witness)
    for step_type in kinds:
        step_types.register(step_type)
    settings.SETTINGS_MODULE = "tests.settings_killer"
    monkeypatch.setenv("DATABASE_URL", url_of_the_test_database())
    monkeypatch.setenv("LIGHTFIELD_CELL_MEMORY_MB", "256")
    monkeypatch.setattr(cells, "line", CellLine())
    yield
    assert cells.line.close(seconds=20)
    for step_type in kinds:
        step_types.unregister(step_type.name)


def url_of_the_test_database() -> str:
    given = connection.get_connection_params()
    host, password = str(given.get("host") or ""), given.get("password")
    login = quote(given["user"]) + (f":{quote(password)}" if password else "")
    if host.startswith("/"):
        return f"postgresql://{login}@/{given['dbname']}?{urlencode({'host': host})}"
    return f"postgresql://{login}@{host}:{given.get('port') or 5432}/{given['dbname']}"


def killer(deaths: int = 1000, kind: str = "slow_killer", way: str = "exit") -> dict[str, Any]:
    return {"key": "kill", "type": kind, "config": {"deaths": deaths, "way": way}}


@pytest.mark.parametrize("way", ["exit", "signal", MEMORY])
def test_given_a_step_that_kills_its_process_when_tried_in_real_cells_then_it_fails_after_three_alone(
    bellboy: Bellboy, way: str
) -> None:
    step = a_claimed_step(killer(way=way))
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
    spared = StepRun.objects.get(pk=innocent.step_run_id)
    assert spared.lost <= 2
    assert (
        spared.error_code == "config.missing_step_type"
    )  # `slow` is this process's own: it was tried, and not lost


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

    cells.run_in_cell([live(run).pk], "fast")
    bellboy.answer_all()

    run.refresh_from_db()
    assert run.status == "completed"
    assert StepRun.objects.values_list("attempts", "lost", "lost_alone").get() == (2, 1, 1)


@pytest.mark.parametrize("way", ["exit", MEMORY])
def test_given_a_fast_step_that_kills_every_cell_then_it_fails_after_three_and_no_neighbour_does(
    bellboy: Bellboy, way: str
) -> None:
    run, neighbour = a_run(killer(kind="fast_killer", way=way)), a_run(say())
    StepRun.objects.update(rings=3)

    cells.run_in_cell(list(StepRun.objects.values_list("pk", flat=True)), "fast")
    bellboy.answer_all()

    run.refresh_from_db()
    neighbour.refresh_from_db()
    assert (run.status, run.error_code) == ("failed", "step.worker_lost")
    assert (neighbour.status, neighbour.error_code) == ("completed", None)


def test_given_a_cell_that_takes_for_ever_when_its_time_is_over_then_it_is_ended_and_charged(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell is its own watchdog; this is for one that cannot even do that."""
    monkeypatch.setattr(cells, "LONGEST_SECONDS", 1.0)
    step = a_claimed_step(killer(way="hang"))
    end_lease(step.step_run_id)

    cells.run_in_cell([step.step_run_id], "http")

    assert rung(bellboy) == [[step.step_run_id]]
    assert Attempt.objects.get(step_run_id=step.step_run_id, number=2).witnessed
    assert StepRun.objects.filter(pk=step.step_run_id, lease_expires_at__lt=timezone.now()).exists()


def rung(bellboy: Bellboy) -> list[list[int]]:
    return [bell.args[0] for bell in bellboy.rung if bell.task == "executions.execute_in_cell"]


def tell() -> dict[str, Any]:
    """A step run again in a cell, and what it says of it."""
    step = a_claimed_step({"key": "tell", "type": "witness", "config": {}})
    end_lease(step.step_run_id)
    cells.run_in_cell([step.step_run_id], "http")
    output = StepRun.objects.get(pk=step.step_run_id).output
    assert output is not None
    return dict(output)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the step looks into /proc")
def test_cells_are_children_of_one_server_and_inherit_nothing_of_its_line() -> None:
    first, second = tell(), tell()

    assert first["parent"] == second["parent"] != os.getpid()
    assert first["pid"] != second["pid"]
    assert first["input"] == os.devnull
    assert first["sockets"] <= 1  # PostgreSQL; Redis is asked only afterwards


def test_given_a_cell_server_that_died_when_a_cell_is_wanted_then_another_server_is_started() -> None:
    server = tell()["parent"]
    os.kill(server, signal.SIGKILL)
    wait_for_end(server)

    assert tell()["parent"] != server


def test_given_signals_that_stop_a_worker_when_they_reach_the_cell_server_too_then_it_goes_on() -> None:
    server = tell()["parent"]
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(server, number)

    assert tell()["parent"] == server


def wait_for_end(pid: int) -> None:
    """Until it is gone, or a zombie whose new parent does not care."""
    ends = time.monotonic() + 20
    while not has_ended(pid):
        assert time.monotonic() < ends
        time.sleep(0.01)


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


WORKER = """
import os, django
django.setup()
from executions import cell_server, cells
from executions.cell_line import Order
cell_server.prepare()
print(cells.line._server.pid, cells.line.run(Order("w:cell:1", "http", (1,), 20.0)), flush=True)
os.kill(os.getpid(), 9)
"""


def test_given_a_worker_that_prepared_its_cell_server_when_it_is_killed_then_the_server_ends_too() -> None:
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings_killer"}
    worker = subprocess.run(
        [sys.executable, "-c", WORKER], env=environ, cwd=ROOT, capture_output=True, text=True, check=False
    )

    pid, code = worker.stdout.split()
    assert (worker.returncode, code) == (-signal.SIGKILL, "0"), worker.stderr
    assert "cell_server_started" not in worker.stderr  # the order went to the one that was prepared
    wait_for_end(int(pid))
