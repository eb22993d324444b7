"""Threads of simulated processes. Exactly one runs at any moment: whoever has the turn.

An actor runs the product's code in a real thread, and stops wherever that would wait. Which one goes on, and
with what order, is the adversary's choice alone; so a world is the same each time it is played.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

_idle: deque[_Bearer] = (
    deque()
)  # threads that wait for an actor to bear: starting one takes longer than a world's step


class Killed(BaseException):
    """The process of this actor has died here."""


class _Bearer(threading.Thread):
    """A thread that plays one actor after the other."""

    def __init__(self) -> None:
        super().__init__(name="bearer", daemon=True)
        self.turn = threading.Semaphore(0)
        self.actor: Actor | None = None
        self.start()

    def run(self) -> None:
        while True:
            self.turn.acquire()
            actor = self.actor
            assert actor is not None
            actor.play()
            self.actor = None
            _idle.append(self)
            actor.stage.release()


class Actor:
    """A thread of a process, somewhere in the product's code: `at` says where it waits, `order` what it is told."""

    def __init__(self, name: str, process: Any, work: Callable[[], Any], stage: threading.Semaphore) -> None:
        self.name = name
        self.process = process
        self.work = work
        self.stage = stage  # released when this actor stops
        self.at = "begins"
        self.is_over = False
        self.is_dying = False
        self.order: Any = None
        self.error: BaseException | None = None  # what ended it, if the product did not foresee that
        self.until: Callable[[], bool] = lambda: True  # may it go on?
        self._bearer = _idle.pop() if _idle else _Bearer()
        self._bearer.actor = self

    def resume(self, order: Any) -> None:
        """Let it run to its next stop. Returns when it waits again or is over."""
        self.order = order
        self._bearer.turn.release()
        self.stage.acquire()

    def kill(self) -> None:
        self.is_dying = True
        if self.at == "begins":
            self.work = lambda: None
        self.resume(None)

    def stop(self, at: str, until: Callable[[], bool] = lambda: True) -> Any:
        """Called from inside: wait for the next order."""
        if self.is_dying:
            raise Killed
        self.at, self.until = at, until
        self.stage.release()
        self._bearer.turn.acquire()
        if self.is_dying:
            raise Killed
        return self.order

    def play(self) -> None:
        try:
            self.work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  reported to whoever drives the world
            self.error = error
        self.is_over = True

    def __str__(self) -> str:
        return f"{self.name}@{self.process.name}"
