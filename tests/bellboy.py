"""A ringer for tests: keeps the bells and answers them in this thread, through the real tasks, when asked."""

from __future__ import annotations

from collections.abc import Callable

from executions import tasks
from lightfield.kernel import bells
from lightfield.kernel.bells import Bell
from triggers import tasks as trigger_tasks

TASKS = {
    "executions.dispatch_shard": tasks.dispatch_shard,
    "executions.admit": tasks.admit,
    "executions.advance": tasks.advance,
    "executions.execute_steps": tasks.execute_steps,
    "executions.execute_in_cell": tasks.execute_in_cell,
    "executions.settle_effects": tasks.settle_effects,
    "executions.expire_runs": tasks.expire_runs,
    "executions.send_notices": tasks.send_notices,
    "triggers.fire_ticks": trigger_tasks.fire_ticks,
}


class Bellboy:
    """Collects bells like Redis would. `answer_all` works until it is silent; `lose_all` is a FLUSHALL."""

    def __init__(self) -> None:
        self.waiting: list[Bell] = []
        self.rung: list[Bell] = []

    def ring(self, bell: Bell) -> None:
        self.rung.append(bell)
        if bell.topic is None or bell not in self.waiting:
            self.waiting.append(bell)

    def answered(self, topic: str) -> None:
        pass

    def can_ring(self) -> bool:
        return True

    def flush(self, seconds: float) -> bool:
        return True

    def lose_all(self) -> None:
        self.waiting.clear()

    def answer_all(self, *, but: Callable[[Bell], bool] = lambda bell: False) -> list[Bell]:
        """Answer every bell, and those that the answers ring. `but` says which are left waiting."""
        answered = []
        while ready := [bell for bell in self.waiting if not but(bell)]:
            self.waiting.remove(ready[0])
            TASKS[ready[0].task].apply(args=ready[0].args)
            answered.append(ready[0])
        return answered

    def names(self) -> list[str]:
        return [bell.task.removeprefix("executions.") for bell in self.rung]


def ring_through(bellboy: Bellboy) -> bells.Rings:
    return bells.use(bellboy)
