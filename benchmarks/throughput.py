"""Three-step HTTP runs per second, and the CPU that a thousand of them cost, against the naive baseline.

    .lightfield/venv/bin/python -m benchmarks.throughput --events 1000 --rounds 3

Both systems run on this machine in turn, with the same sink and the same load: the machine may be noisy, so
the ratio of one session counts and not a figure alone. Nothing but the sink and the load is left out of the CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cpu, load
from lightfield.local import ports
from lightfield.local.home import Home
from lightfield.local.servers import Servers
from tests.acceptance import installation as installations
from tests.acceptance import sink as sinks
from tests.acceptance.sink import Sink

ROOT = Path(__file__).resolve().parent.parent
STEPS = 3
PATIENCE = 180.0


@dataclass(frozen=True)
class Figure:
    """One round: runs per second from first webhook to last request answered, CPU seconds per 1,000 runs."""

    runs_per_second: float
    cpu_per_1000: float


def measure(
    sink: Sink, url: str, events: int, roots: list[int], body: Callable[[], dict[str, object]]
) -> Figure:
    """Send `events` webhooks and wait until the sink has seen every step of every run once."""
    wanted = sum(sink.seen.values()) + events * STEPS
    before, started = cpu.seconds_of(roots), time.monotonic()
    statuses = load.send(url, [body() for _ in range(events)])
    assert set(statuses) == {202}, f"webhooks were answered {set(statuses)}"
    while sum(sink.seen.values()) < wanted:
        assert time.monotonic() - started < PATIENCE, "the runs did not end in time"
        time.sleep(0.02)
    seconds = time.monotonic() - started
    time.sleep(0.5)  # the last outcomes are written after the last answer
    spent = cpu.seconds_of(roots) - before
    return Figure(events / seconds, spent / events * 1000)


@contextlib.contextmanager
def naive(sink: Sink) -> Iterator[tuple[str, list[int]]]:
    """The baseline with a Valkey of its own: (webhook address, process ids)."""
    with tempfile.TemporaryDirectory(prefix="lf-naive-") as folder, contextlib.ExitStack() as held:
        home = Home(Path(folder))
        servers = held.enter_context(Servers(home, postgres=False))
        port = ports.any_free("127.0.0.1")
        environ = {**os.environ, "SINK_URL": f"{sink.url}/delay/1", "REDIS_URL": servers.urls["REDIS_URL"]}
        commands = (
            f"gunicorn benchmarks.naive --workers 2 --threads 4 --bind 127.0.0.1:{port} --log-level error",
            "celery -A benchmarks.naive worker --pool prefork -c 2 --loglevel error",
        )
        children = [
            subprocess.Popen([sys.executable, "-m", *command.split()], cwd=ROOT, env=environ)
            for command in commands
        ]
        try:
            time.sleep(6)
            server = [one.child.pid for one in servers.running if one.child]
            yield f"http://127.0.0.1:{port}/hook", [child.pid for child in children] + server
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(30)


@contextlib.contextmanager
def lightfield(sink: Sink) -> Iterator[tuple[str, list[int]]]:
    """The whole installation, Flower included: (webhook address, process ids)."""
    with tempfile.TemporaryDirectory(prefix="lf-bench-") as folder:
        allowed = {"LIGHTFIELD_EGRESS_ALLOW": f"127.0.0.1:{sink.port}", "LIGHTFIELD_LEASE_SECONDS": "30"}
        with installations.running(Path(folder), **allowed) as installation:
            config = {"method": "POST", "url": f"{sink.url}/delay/1", "json": {"run": "{{ trigger.id }}"}}
            steps = [
                {"key": f"step{number}", "type": "http_request", "config": config} for number in range(STEPS)
            ]
            workflow = installation.publish(*steps)
            yield installation.api.base + workflow["webhook_url"], [installation.pid]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    figures: dict[str, list[Figure]] = {"naive": [], "lightfield": []}
    for _ in range(arguments.rounds):
        for name, system in (("naive", naive), ("lightfield", lightfield)):
            with sinks.running() as sink, system(sink) as (url, roots):
                measure(sink, url, 50, roots, _body)  # warm
                figures[name].append(measure(sink, url, arguments.events, roots, _body))
                print(name, figures[name][-1], flush=True)
    _print_table(figures)


def _body() -> dict[str, object]:
    return {"id": uuid.uuid4().hex, "steps": STEPS}


def _print_table(figures: dict[str, list[Figure]]) -> None:
    speed = {name: statistics.median(f.runs_per_second for f in rounds) for name, rounds in figures.items()}
    cost = {name: statistics.median(f.cpu_per_1000 for f in rounds) for name, rounds in figures.items()}
    print(f"\n{'':12}{'runs/s':>10}{'CPU s / 1000 runs':>20}")
    for name in figures:
        print(f"{name:12}{speed[name]:>10.0f}{cost[name]:>20.1f}")
    ratio = speed["lightfield"] / speed["naive"], cost["lightfield"] / cost["naive"]
    print(f"{'ratio':12}{ratio[0]:>10.2f}{ratio[1]:>20.2f}")


if __name__ == "__main__":
    main()
