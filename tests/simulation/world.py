"""One simulated installation: rows, processes, messages, a far side, and one clock. Everything moves by a call."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from celery.exceptions import Retry
from django.db import OperationalError

from executions import cells, dispatcher, tasks, worker
from executions.cell_line import Order
from executions.models import Run
from lightfield.kernel.bells import Bell
from lightfield.kernel.errors import RequestRefused
from tests.bellboy import TASKS
from tests.simulation.actors import Actor, Killed
from tests.simulation.broker import Broker
from tests.simulation.checks import InvariantBroken, Sink, check_closed, check_touched, demand
from tests.simulation.flows import flows
from tests.simulation.processes import Process
from tests.simulation.rows import Lane
from tests.simulation.seams import ProcessKeeper, installed
from tests.simulation.store import Ending, Store
from tests.simulation.tables import BEGINNING, Tables

FORESEEN = (RequestRefused, Retry, OperationalError, Run.DoesNotExist)
# How often a thread stops where it gives its connection back, by world: each stop leaves fewer moves for all else.
STOPS_AT_RELEASE = (0.0, 0.3, 1.0)


class World:
    """Use it as a context: inside, this process's engine is the world's."""

    def __init__(
        self, number: int, *, planted: frozenset[str] = frozenset(), widths: tuple[int, int] = (3, 2)
    ) -> None:
        self._stack = ExitStack()
        self._stage = threading.Semaphore(0)
        self.number = number
        self.randomness = random.Random(number)
        self._stops_at_release = self.randomness.choice(STOPS_AT_RELEASE)
        lanes = [Lane("http", widths[0], max(1, widths[0] - 1)), Lane("ai", widths[1], widths[1])]
        self.tables = Tables(number, flows(), lanes, planted)
        self.store = Store(self.tables, self._gate, self._committed)
        self.sink = Sink(self.tables)
        self.processes: list[Process] = []
        self.broker = Broker(self.tables)
        self.current: Actor | None = None
        self.nobody = Process("nobody")  # who acts while no thread has the turn
        self.surprises: list[str] = []
        self.trace: list[str] = []
        self.acknowledged: dict[str, str] = {}  # key → event id, as senders were told

    def __enter__(self) -> Self:
        self._stack.enter_context(installed(self))
        for _ in range(2):
            self.start_process()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for process in self.processes:
            self._end_actors(process)
        self._stack.close()

    # --- what the product meets (seams.Surroundings) ----------------------------------------------

    def _gate(self, name: str) -> Ending:
        if self.current is None:
            return Ending.HEARD
        order = self.current.stop(name)
        return order if isinstance(order, Ending) else Ending.HEARD

    def _committed(self) -> None:
        check_touched(self.tables)
        for attempt in self.tables.closed:
            if attempt.outcome == "lost":
                is_sent = any(process.may_be_sending(attempt, self.elapsed) for process in self.processes)
                demand(not is_sent, "a step is taken from nobody who may send", attempt)
        check_closed(self.tables, self.process.name if self.current else None)

    @property
    def elapsed(self) -> float:
        return (self.tables.clock - BEGINNING).total_seconds()

    @property
    def process(self) -> Process:
        process: Process = self.current.process if self.current else self.nobody
        return process

    def monotonic(self) -> float:
        return self.process.monotonic(self.elapsed)

    def release(self) -> None:
        """In place of `sql.release`: between a transaction and a wait, where a process may be paused or killed."""
        if self.current and self.randomness.random() < self._stops_at_release:
            self.current.stop("lets go of its connection")

    def sleep(self, seconds: float) -> None:
        end = self.tables.clock + timedelta(seconds=seconds)
        assert self.current is not None
        self.current.stop("sleeps")
        self.tables.clock = max(self.tables.clock, end)

    def ask(self, kind: str, context: Any) -> str:
        assert self.current is not None
        if kind == "send":
            steps = self.tables.steps_of[context.run_id]
            step = next(step for step in steps if step.key == context.step_key)
            self.sink.receive(step, context.attempt, context.idempotency_key)
        order = self.current.stop(kind)
        return order if isinstance(order, str) else "ok"

    def pool(self) -> World:
        return self

    def submit(self, work: Callable[[], Any]) -> Actor:
        """In place of a thread pool's: another thread of the same process."""
        return self.act("a chain", work, self.process)

    def wait(self, actors: list[Actor]) -> None:
        assert self.current is not None
        if actors:
            self.current.stop("waits for its threads", lambda: all(actor.is_over for actor in actors))

    def run(self, order: Order) -> int | None:
        """In place of `cells.line`: a cell does what the order says, and this thread waits for its end."""
        assert self.current is not None
        cell = self.start_process(order.name, is_cell=True)
        work = partial(cells.run_here, list(order.ids), order.lane)
        self.act(f"cell {order.ids}", work, cell)
        unseen = self.current.stop("waits for its cell", lambda: not cell.is_alive)
        if unseen is Ending.UNHEARD:
            return None  # the process that forks cells died, and nobody saw how this one ended
        return (-signal.SIGKILL if cell.is_killed else 1) if cell.has_failed else 0

    def keeper(self) -> ProcessKeeper:
        return self.process.keeper

    def worker_name(self) -> str:
        return self.process.name

    def end_process(self) -> None:
        self.process.is_doomed = True
        raise Killed

    # --- moving -----------------------------------------------------------------------------------

    def start_process(self, name: str = "", *, is_cell: bool = False) -> Process:
        number = len(self.processes) + 1
        drift = 1 + self.randomness.uniform(-0.02, 0.02)
        zero = self.randomness.uniform(0, 1e6)
        process = Process(name or f"worker {number}", zero, drift, is_cell=is_cell)
        self.processes.append(process)
        return process

    def act(self, name: str, work: Callable[[], Any], process: Process) -> Actor:
        def foreseen() -> None:
            try:
                work()
            except FORESEEN:
                process.has_failed = process.is_cell

        actor = Actor(name, process, foreseen, self._stage)
        process.actors.append(actor)
        return actor

    def resume(self, actor: Actor, order: Any = None) -> None:
        """Let one thread go on to its next stop."""
        self.trace.append(
            f"{self.elapsed:9.3f} {actor} {actor.at}: {getattr(order, 'value', order) or 'goes on'}"
        )
        self._give_turn(actor)
        actor.resume(order)
        self.current = None
        self._reap(actor)

    def _give_turn(self, actor: Actor) -> None:
        """What is global in a process is this actor's process's now."""
        self.current = actor
        worker.slots = actor.process.slots
        dispatcher.drains = actor.process.drains
        cells._ids_underway = actor.process.underway

    def _reap(self, actor: Actor) -> None:
        process: Process = actor.process
        if actor.is_over and actor in process.actors:
            process.actors.remove(actor)
            if process.is_cell and actor.name.startswith("cell"):
                process.is_alive = False
                self._end_actors(process)
        if process.is_doomed and process.is_alive:
            self.kill(process)
        if actor.error is not None:
            raise actor.error
        if self.surprises:
            raise InvariantBroken(f"an error that nobody foresaw: {self.surprises[0]}")

    def kill(self, process: Process) -> None:
        """SIGKILL: all its threads end where they stand. A worker is started anew by its supervisor."""
        self.trace.append(f"{self.elapsed:9.3f} {process.name} is killed")
        process.is_alive = False
        process.is_killed = process.has_failed = True
        self._end_actors(process)
        if not process.is_cell:
            self.start_process()

    def _end_actors(self, process: Process) -> None:
        for actor in process.actors:
            self._give_turn(actor)
            actor.kill()
        process.actors.clear()
        self.current = None

    def pause(self, process: Process, *, is_paused: bool) -> None:
        """SIGSTOP or SIGCONT."""
        self.trace.append(f"{self.elapsed:9.3f} {process.name} {'stops' if is_paused else 'continues'}")
        process.is_paused = is_paused

    def deliver(self, place: int, process: Process, *, keeps: bool = False) -> Actor:
        """A worker takes a message; or a copy of it, and the message comes again."""
        bell = self.broker.messages[place] if keeps else self.broker.messages.pop(place)
        return self.receive(bell, process)

    def receive(self, bell: Bell, process: Process) -> Actor:
        name = f"{bell.task.removeprefix('executions.')}{list(bell.args)}"
        self.trace.append(f"{self.elapsed:9.3f} {process.name} receives {name}")
        return self.act(name, lambda: TASKS[bell.task].run(*bell.args), process)

    def lose(self, place: int) -> None:
        self.trace.append(f"{self.elapsed:9.3f} lost: {self.broker.messages.pop(place)}")

    def sweep(self, process: Process) -> Actor:
        return self.act("sweep", tasks.sweep.run, process)

    def beat(self, process: Process) -> Actor:
        return self.act("keeper", process.keeper.beat, process)

    def let_time_pass(self, seconds: float) -> None:
        self.trace.append(f"{self.elapsed:9.3f} {seconds} s pass")
        self.tables.clock += timedelta(seconds=seconds)

    @property
    def living(self) -> list[Process]:
        """Processes that move."""
        return [process for process in self.processes if process.is_alive and not process.is_paused]

    def living_or_paused(self) -> list[Process]:
        return [process for process in self.processes if process.is_alive]

    @property
    def ready(self) -> list[Actor]:
        """Threads that may go on."""
        return [actor for process in self.living for actor in process.actors if actor.until()]
