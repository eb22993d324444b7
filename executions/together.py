"""Group commit: what several threads want written at the same time becomes one transaction.

Whoever comes first writes at once and alone. Whoever comes meanwhile waits, and one of those writes for all of
them when the first is done. So nothing waits for company, and the busier the process, the larger the batches.
No thread of its own: the writer is one of those that want something written, on its own connection.

Dying in the middle is dying in that transaction: each caller's step keeps its row and its lease runs out.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST = 32  # in one transaction: a row lock is held no longer than that takes


class _Wanted(Generic[T, R]):
    """One caller: what it wants written, and what came of it."""

    def __init__(self, items: list[T]) -> None:
        self.items = items
        self.results: list[R] = []
        self.error: BaseException | None = None
        self.is_writer = False
        self._turn = threading.Lock()
        self._turn.acquire()

    def wait(self) -> None:
        self._turn.acquire()

    def wake(self) -> None:
        self._turn.release()


class Together(Generic[T, R]):
    """Calls `write` for everybody who calls this.

    Args:
        write: takes the items of several callers and returns one result for each, in their order. What it raises
            is raised for each caller of that batch.
        before_waiting: what a caller does that has to wait. It must let go of what a writer may need, its database
            connection above all: all of a pool's could be in the hands of those who wait for one that waits for one.
    """

    def __init__(self, write: Callable[[list[T]], list[R]], before_waiting: Callable[[], None]) -> None:
        self._write = write
        self._before_waiting = before_waiting
        self._lock = threading.Lock()
        self._waiting: deque[_Wanted[T, R]] = deque()
        self._is_writing = False

    def __call__(self, items: list[T]) -> list[R]:
        """The results of these items, which share a batch. Empty lists never wait."""
        if not items:
            return []
        mine = _Wanted[T, R](items)
        with self._lock:
            self._waiting.append(mine)
            mine.is_writer = not self._is_writing
            self._is_writing = True
        if not mine.is_writer:
            self._before_waiting()
            mine.wait()
        if mine.is_writer:
            self._write_for_all(mine)
        if mine.error is not None:
            raise mine.error
        return mine.results

    def _write_for_all(self, mine: _Wanted[T, R]) -> None:
        """Write what waits, `mine` first of all, then pass the pen on."""
        batch = self._take()
        try:
            results = iter(self._write([item for wanted in batch for item in wanted.items]))
            for wanted in batch:
                wanted.results = [next(results) for _ in wanted.items]
        except BaseException as error:  # noqa: BLE001  raised again in every caller
            for wanted in batch:
                wanted.error = error
        finally:
            self._pass_on()
            for wanted in batch:
                if wanted is not mine:
                    wanted.wake()

    def _take(self) -> list[_Wanted[T, R]]:
        with self._lock:
            batch = [self._waiting.popleft()]
            size = len(batch[0].items)
            while self._waiting and size + len(self._waiting[0].items) <= MOST:
                batch.append(self._waiting.popleft())
                size += len(batch[-1].items)
            return batch

    def _pass_on(self) -> None:
        with self._lock:
            self._is_writing = bool(self._waiting)
            if self._waiting:
                self._waiting[0].is_writer = True
                self._waiting[0].wake()
