"""Messages that are forged, old, repeated, or far too many."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any

import redis
from celery import Celery

from tests.chaos.ordeal import Trial

QUEUES = ("fast", "http", "ai")
COPIES = 3
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')


def forged(trial: Trial) -> int:
    """Real tasks with ids of all kinds: of steps that are ready, running or long over, of nobody, no ids."""

    def forge() -> None:
        steps = _drawn_ids(trial, "SELECT id FROM executions_steprun ORDER BY random() LIMIT 20")
        runs = _drawn_ids(trial, "SELECT id::text FROM executions_run ORDER BY random() LIMIT 20")
        for task, queue, arguments in (
            ("executions.execute_steps", "http", [steps]),
            ("executions.execute_steps", "fast", [[1 << 40, -1]]),
            ("executions.execute_in_cell", "http", [steps[:3], "http"]),
            ("executions.execute_in_cell", "http", [steps[:3], "fast"]),
            ("executions.advance", "fast", [runs]),
            ("executions.advance", "fast", [["no run"]]),
            ("executions.expire_runs", "fast", [runs]),
            ("executions.dispatch_shard", "fast", [trial.drawn.randrange(16)]),
            ("executions.dispatch_shard", "fast", ["x"]),
            ("executions.admit", "fast", [trial.drawn.choice(("http", "ai", "nowhere"))]),
            ("executions.settle_effects", "fast", []),
            ("executions.sweep", "fast", []),
        ):
            app.send_task(task, args=arguments, queue=queue, ignore_result=True)

    with messenger(trial) as app:
        return trial.every(0.5, 30, forge, each=12)


def _drawn_ids(trial: Trial, statement: str) -> list[Any]:
    return [row[0] for row in trial.stack.ask(statement)]


def sweeps(trial: Trial) -> int:
    """Twenty-five sweeps a second, side by side, and the decisions that they ring for."""

    def sweep() -> None:
        for _ in range(5):
            app.send_task("executions.sweep", queue="fast", ignore_result=True)
        app.send_task("executions.settle_effects", queue="fast", ignore_result=True)

    with messenger(trial) as app:
        return trial.every(0.2, 30, sweep, each=6)


def old_messages(trial: Trial) -> int:
    """Everything that was put into a queue for 15 s comes three times more in random order, and again a minute on."""
    with Listening(trial) as listening:
        trial.last(15)
    heard = listening.heard
    _put_again(trial, heard)
    trial.last(60)
    _put_again(trial, heard)
    trial.note(f"{len(heard)} messages, each {2 * COPIES} times more")
    if not heard:
        trial.problems.append("no message was heard")
    return 2 * COPIES * len(heard)


def _put_again(trial: Trial, heard: list[tuple[str, bytes]]) -> None:
    copies = heard * COPIES
    trial.drawn.shuffle(copies)
    there = trial.stack.redis()
    for queue, message in copies:
        trial.tried(lambda queue=queue, message=message: there.lpush(queue, message))  # type: ignore[misc]


@contextlib.contextmanager
def messenger(trial: Trial) -> Iterator[Celery]:
    """A Celery app that can put messages into the queues."""
    app = Celery(broker=trial.stack.redis_url, set_as_current=False)
    app.conf.task_serializer = "json"
    try:
        yield app
    finally:
        app.close()


class Listening:
    """Redis' MONITOR on a connection of its own: what is put into the queues. A context manager."""

    def __init__(self, trial: Trial) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._is_over = threading.Event()
        self._line = redis.Connection(**trial.stack.redis().connection_pool.connection_kwargs)
        self._thread = threading.Thread(target=self._listen, name="listening", daemon=True)

    def __enter__(self) -> Listening:
        self._line.connect()
        self._line.send_command("MONITOR")
        self._line.read_response()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(5)
        self._line.disconnect()

    def _listen(self) -> None:
        while not self._is_over.is_set():
            try:
                if not self._line.can_read(timeout=0.2):
                    continue
                said = self._line.read_response()
            except (redis.RedisError, OSError):
                return
            words = _WORD.findall(said.decode() if isinstance(said, bytes) else str(said))
            if len(words) == 3 and words[0].upper() == "LPUSH" and words[1] in QUEUES:
                self.heard.append((words[1], words[2].encode().decode("unicode_escape").encode("latin-1")))
