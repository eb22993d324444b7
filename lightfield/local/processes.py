"""The one table of the processes of an installation: their commands and how each is asked whether it lives.

`bin/up` runs what this table says, and docker-compose.yml says the same; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass

PYTHON = "python"  # stands for the venv's Python
MIGRATE = (PYTHON, "manage.py", "migrate", "--noinput")

# Threads of a slow lane mostly wait for somebody else's answer and hold no database connection meanwhile.
WORKER_THREADS = {"fast": 8, "http": 600, "ai": 100}
WEB_PROCESSES, WEB_THREADS = 2, 8


@dataclass(frozen=True)
class Process:
    """One process of the installation; `role` is what it is told to be (LIGHTFIELD_ROLE)."""

    name: str
    role: str
    command: tuple[str, ...]

    @property
    def health(self) -> tuple[str, ...]:
        """A command that ends with 0 while the process does its work."""
        return (PYTHON, "-m", "lightfield.local.health", self.name)


def table(*, bind: str, port: str, flower_port: str, workers: dict[str, int] | None = None) -> list[Process]:
    """All processes, in the order they are started.

    Args:
        workers: how many worker processes of a lane, 1 unless named. The second is `worker-http-2`.
    """
    numbers = workers or {}
    return [
        _web(bind, port),
        *(_worker(lane, n + 1) for lane in WORKER_THREADS for n in range(numbers.get(lane, 1))),
        _beat(),
        _flower(bind, flower_port),
    ]


def node_of(worker: str) -> str:
    """The Celery node's name before the @: `http-2` for `worker-http-2`."""
    return worker.removeprefix("worker-")


def _web(bind: str, port: str) -> Process:
    """Synchronous Django on native threads. No access log: a webhook's path holds its secret token."""
    host = f"[{bind}]" if ":" in bind else bind
    command = f"{PYTHON} -m gunicorn lightfield.wsgi --worker-class lightfield.web_worker.Worker"
    size = f"--bind {host}:{port} --workers {WEB_PROCESSES} --threads {WEB_THREADS} --keep-alive 5 --no-control-socket --preload"
    return Process("web", "web", tuple(f"{command} {size}".split()))


def _worker(lane: str, number: int) -> Process:
    """`-E` lets Flower show tasks. Gossip and mingle would only slow down a start."""
    name = f"worker-{lane}" if number == 1 else f"worker-{lane}-{number}"
    command = f"{PYTHON} -m celery -A lightfield worker -Q {lane} -n {node_of(name)}@%h"
    size = f"--pool=threads -c {WORKER_THREADS[lane]} --without-gossip --without-mingle -E --loglevel info"
    return Process(name, f"worker-{lane}", tuple(f"{command} {size}".split()))


def _beat() -> Process:
    """`--max-interval 1`: at most a second asleep, so that changed schedules count at once."""
    scheduler = "--scheduler django_celery_beat.schedulers:DatabaseScheduler --max-interval 1 --pidfile="
    return Process("beat", "beat", tuple(f"{PYTHON} -m celery -A lightfield beat {scheduler}".split()))


def _flower(bind: str, port: str) -> Process:
    """Its login comes in FLOWER_BASIC_AUTH: a command line can be read by everybody on the machine.

    It keeps what it has seen in memory; its own 100,000 tasks would be some 400 MB.
    """
    command = f"{PYTHON} -m celery -A lightfield flower --address={bind} --port={port} --max_tasks=10000"
    return Process("flower", "flower", tuple(command.split()))
