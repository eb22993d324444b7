"""How long a lost step waits between the order for its cell and the claim made there.

    .lightfield/venv/bin/python -m benchmarks.reclaim --steps 30 --burst 64

First steps one after the other. With `--unprepared` the first one waits for the start of a cell server. Then a burst of steps
that each need a cell of their own, as after the second loss of a worker that held them all: the time until the
last of them is claimed, and the CPU that all of it cost, the embedded PostgreSQL included.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import cpu
from lightfield.local import environment
from lightfield.local.home import Home
from lightfield.local.servers import Servers

# Refused by the egress policy as soon as it is claimed: nothing but the cell itself is measured.
STEP = {
    "key": "call",
    "type": "http_request",
    "config": {"method": "GET", "url": "http://127.0.0.1:9/"},
    "retry": {"max_attempts": 1},
}


@contextlib.contextmanager
def installation(*, is_prepared: bool) -> Iterator[None]:
    """Servers of our own, migrated, and this process as a slow worker on them."""
    with tempfile.TemporaryDirectory(prefix="lf-reclaim-") as folder:
        home = Home(Path(folder))
        with Servers(home, durable=False) as servers:
            os.environ.update({**environment.keys(home), **servers.urls})
            os.environ.update(DJANGO_SETTINGS_MODULE="lightfield.settings", LIGHTFIELD_ROLE="worker-http")
            import django
            from django.core.management import call_command

            from lightfield.kernel import logs

            logs.configure()
            django.setup()
            if is_prepared:
                from executions import cell_server

                cell_server.prepare()
            call_command("migrate", verbosity=0)
            yield


def lost_steps(number: int) -> list[int]:
    """Steps whose worker has not been heard of for an hour."""
    from tests import factories, staging

    workflow = factories.a_published_workflow(steps=[STEP])
    steps = [staging.a_claimed_step(workflow=workflow).step_run_id for _ in range(number)]
    for step_run_id in steps:
        staging.end_lease(step_run_id)
    return steps


def order(step_run_id: int) -> None:
    from executions import tasks

    tasks.execute_in_cell([step_run_id], "http")


def claimed_at(step_run_id: int) -> float:
    from executions.models import Attempt

    attempt = Attempt.objects.filter(step_run_id=step_run_id).order_by("-number")[0]
    assert attempt.number == 2, "the cell did not claim its step"
    return attempt.started_at.timestamp()


def one_by_one(number: int) -> list[float]:
    """Seconds from order to claim of each."""
    waits = []
    for step_run_id in lost_steps(number):
        ordered_at = time.time()
        order(step_run_id)
        waits.append(claimed_at(step_run_id) - ordered_at)
    return waits


def burst(number: int) -> tuple[list[float], float]:
    """Seconds from the common order to the claim of each, when all are ordered at once; and the CPU seconds of all."""
    steps = lost_steps(number)
    before, ordered_at = cpu.seconds_of([os.getpid()]), time.time()
    with ThreadPoolExecutor(number) as threads:
        list(threads.map(order, steps))
    spent = cpu.seconds_of([os.getpid()]) - before
    return [claimed_at(step_run_id) - ordered_at for step_run_id in steps], spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--burst", type=int, default=64)
    parser.add_argument("--unprepared", action="store_true", help="no cell server before the first order")
    arguments = parser.parse_args()
    with installation(is_prepared=not arguments.unprepared):
        first, *others = one_by_one(arguments.steps)
        print(f"first: {first:.2f} s; then median {statistics.median(others):.3f} s, max {max(others):.3f} s")
        waits, spent = burst(arguments.burst)
        print(
            f"{arguments.burst} at once: median {statistics.median(waits):.2f} s, last {max(waits):.2f} s",
            end="; ",
        )
        print(f"CPU {spent / arguments.burst:.3f} s for each")


if __name__ == "__main__":
    main()
