"""Bells in a test: kept, and answered in this very thread through the tasks that a worker would run."""

from __future__ import annotations

from celery.exceptions import Retry

from lightfield.celery import app
from lightfield.kernel.bells import Bell
from triggers.decisions.noted import Note

MOST_BELLS = 100_000  # of one test: a workflow that feeds itself ends at its guards long before


class Ringer:
    """Stands where the ringer of a process does."""

    def __init__(self) -> None:
        app.loader.import_default_modules()  # the tasks of all apps: a worker does that when it starts
        self._waiting: list[Bell] = []
        self._answered = 0

    def ring(self, bell: Bell) -> None:
        if bell.topic is None or bell not in self._waiting:
            self._waiting.append(bell)

    def answered(self, topic: str) -> None:
        pass

    def can_ring(self) -> bool:
        return True

    def flush(self, seconds: float) -> bool:  # noqa: ARG002  says the protocol
        return True

    def answer_all(self) -> None:
        """Answer every bell and those that the answers ring. What a task raises is raised here."""
        while self._waiting:
            bell = self._waiting.pop(0)
            self._answered += 1
            if self._answered > MOST_BELLS:
                raise RuntimeError(f"{MOST_BELLS:,} bells were rung and it goes on")
            task = app.tasks[bell.task]
            try:
                task.apply(args=bell.args, throw=True)
            except Retry:
                continue  # said for Flower: the row's due_at decides


class NoNotes:
    """Stands where the notebook of decisions does: nothing is carried to Redis."""

    def write(self, note: Note) -> None:
        pass

    def flush(self) -> bool:
        return True
