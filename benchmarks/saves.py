"""Saves of a watched model and of its twin, in turns: `python -m benchmarks.saves <pairs> <saves>` prints JSON.

It is one process with the settings of its environment and the one connection that a request has. What is compared runs
in pairs of blocks, one right after the other and either first as often: the machine's speed drifts, and the ratio of
two neighbours does not.

Each ratio is told of time and of CPU, this process and its PostgreSQL process together: who waits for a slow disk in both
blocks sees a small ratio of times, and the ratio of CPU is the most that a fast one can show.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
import psycopg

Deed = Callable[[], object]
WARM_UP = 30  # of each deed: plans, caches, pages


@dataclass(frozen=True)
class Cost:
    """Seconds of one deed."""

    time: float
    cpu: float


@dataclass(frozen=True)
class Pair:
    """What is compared with what. `around`: the surroundings of the second one's block."""

    deed: Deed
    other: Deed
    around: Callable[[], AbstractContextManager[Any]] = nullcontext


class Saves:
    """Everything that is measured; each figure is `<name>_ratio`, `_cpu_ratio`, `_statements`, `_ms` or `_twin_ms`."""

    def __init__(self, pairs: int, saves: int, backend: int) -> None:
        """`backend`: the process id of the PostgreSQL process that serves our connection."""
        self.pairs, self.saves, self.backend, self.figures = pairs, saves, backend, dict[str, float]()

    def measure(self, name: str, pair: Pair) -> None:
        blocks = (lambda: self._block(pair.deed), lambda: self._other_block(pair))
        with counted() as ours:
            pair.deed()
        with pair.around(), counted() as others:
            pair.other()
        for block in blocks:
            for _ in range(max(1, WARM_UP // self.saves)):
                block()
        both: list[list[Cost]] = [[], []]
        for number in range(self.pairs):
            for place in (0, 1) if number % 2 else (1, 0):
                both[place].append(blocks[place]())
        neighbours = [*zip(*both, strict=True)]
        self.figures |= {
            f"{name}_ratio": statistics.median(mine.time / other.time for mine, other in neighbours),
            f"{name}_cpu_ratio": statistics.median(mine.cpu / other.cpu for mine, other in neighbours),
            f"{name}_statements": ours[0] - others[0],
            f"{name}_ms": statistics.median(one.time for one in both[0]) * 1000,
            f"{name}_twin_ms": statistics.median(one.time for one in both[1]) * 1000,
        }

    def _block(self, deed: Deed) -> Cost:
        started, used = time.perf_counter(), self._cpu()
        for _ in range(self.saves):
            deed()
        return Cost((time.perf_counter() - started) / self.saves, (self._cpu() - used) / self.saves)

    def _cpu(self) -> float:
        """Seconds; the kernel's clock of each process, since ticks are too coarse for a block."""
        backend = Path(f"/proc/{self.backend}/schedstat").read_text().split()[0]
        return time.process_time() + int(backend) / 1e9

    def _other_block(self, pair: Pair) -> Cost:
        with pair.around():
            return self._block(pair.other)


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many statements psycopg's cursors execute; it sends BEGIN and COMMIT by itself, so they are not among them."""
    execute, found = psycopg.Cursor.execute, [0]

    def counting(*args: Any, **options: Any) -> Any:
        found[0] += 1
        return execute(*args, **options)

    psycopg.Cursor.execute = counting  # type: ignore[method-assign]  # to count, and back
    try:
        yield found
    finally:
        psycopg.Cursor.execute = execute  # type: ignore[method-assign]  # to count, and back


def all_of_it(pairs: int, saves: int) -> dict[str, float]:
    """In the mode that the environment asks for: a process has one, from its start to its end."""
    from django.db import connection

    from benchmarks.twins import Rows, a_twin, forgotten, listening, unwrapped
    from crm.models import Opportunity
    from triggers.records import database, modes

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        measured = Saves(pairs, saves, backend=cursor.fetchone()[0])
    database.arrange()
    prefix = "trigger_" if modes.is_database_capturing() else ""
    with a_twin(Opportunity) as twin_model:
        deals, twins = Rows(Opportunity), Rows(twin_model)
        changing = {
            field: Pair(deals.changing(field), twins.changing(field)) for field in ("stage", "pipeline")
        }
        creating = Pair(deals.create, twins.create)
        changing_plainly = Pair(deals.changing_plainly("stage"), twins.changing("stage"))
        creating_plainly = Pair(deals.create_plainly, twins.create)

        def measure(name: str, pair: Pair) -> None:
            with forgotten(deals, twins):
                measured.measure(prefix + name, pair)

        measure("unheard", changing["stage"])
        measure("created_unheard", creating)
        with listening("updated", "stage"):
            measure("matched", changing["stage"])
            measure("plain_matched", changing_plainly)
            measure("unmatched", changing["pipeline"])
            measure("created_unmatched", creating)
        with listening("created"):
            measure("created_matched", creating)
            measure("plain_created_matched", creating_plainly)
        if not modes.is_database_capturing():
            for name, deed in twins.unwatched_deeds():
                measure(f"unwatched_{name}", Pair(deed, deed, unwrapped))
    return measured.figures


if __name__ == "__main__":
    django.setup()
    logging.disable(logging.WARNING)
    print(json.dumps(all_of_it(int(sys.argv[1]), int(sys.argv[2]))))
