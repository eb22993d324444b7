"""Whatever can happen, at any moment, chosen by a seed. Each seed has its own likings, and lacks some moves at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from tests.simulation import people
from tests.simulation.flows import FAST_ANSWERS, SLOW_ANSWERS
from tests.simulation.processes import Process
from tests.simulation.quiet import quiesce
from tests.simulation.store import Ending
from tests.simulation.world import World

MOVES = 260
MOST_EVENTS = 6
MOST_ACTORS = 12
SECONDS = (0.3, 1.5, 6.0, 12.0, 36.0, 70.0)

# Moves that every world needs, and the mischief of which each seed has some. Numbers are weights.
NEEDED = {"go on": 60, "deliver": 25, "send": 4, "sweep": 3, "time": 5}
MISCHIEF = {
    "kill": 4.0,
    "pause": 2.5,
    "lose": 3.0,
    "double": 5.0,
    "cancel": 1.0,
    "replay": 3.0,
    "forge": 3.0,
    "flush": 0.3,
    "break line": 4.0,
    "bad answers": 20.0,
}


class Adversary:
    """Moves one world."""

    def __init__(self, world: World, random: Random, likes: Mapping[str, float] | None = None) -> None:
        self.world = world
        self.random = random
        mischief = {
            name: w * random.choice((0.3, 1, 1, 3, 8))
            for name, w in MISCHIEF.items()
            if random.random() < 0.7
        }
        self.breaks_line = mischief.pop("break line", 0.0) / 100
        self.answers_badly = mischief.pop("bad answers", 0.0) / 40
        self.shapes = random.sample(list(world.tables.flows), k=random.randint(1, 4))
        self.weights = {**NEEDED, **mischief, **(likes or {})}
        self.moves: dict[str, Callable[[], None]] = {
            "go on": self.go_on,
            "deliver": self.deliver,
            "send": self.send,
            "sweep": self.sweep,
            "time": self.let_time_pass,
            "kill": self.kill,
            "pause": self.pause,
            "lose": self.lose,
            "double": self.double,
            "cancel": self.cancel,
            "replay": self.replay,
            "forge": self.forge,
            "flush": self.flush,
        }

    def play(self, moves: int = MOVES) -> None:
        self.send()
        names = list(self.weights)
        for name in self.random.choices(names, [self.weights[name] for name in names], k=moves):
            self.moves[name]()

    def _process(self) -> Process | None:
        living = [process for process in self.world.living if not process.is_cell]
        return self.random.choice(living) if living else None

    def _free_process(self) -> Process | None:
        return self._process() if len(self.world.ready) < MOST_ACTORS else None

    # --- moves ------------------------------------------------------------------------------------

    def go_on(self) -> None:
        if ready := self.world.ready:
            actor = self.random.choice(ready)
            self.world.resume(actor, self._order(actor.at))

    def _order(self, at: str) -> Any:
        chance = self.random.random()
        if at in ("send", "work"):
            answers = SLOW_ANSWERS if at == "send" else FAST_ANSWERS
            return self.random.choice(list(answers)) if chance < self.answers_badly else "ok"
        if chance < self.breaks_line:
            return self.random.choice((Ending.UNHEARD, Ending.REFUSED))
        return Ending.HEARD

    def deliver(self, *, keeps: bool = False) -> None:
        process = self._free_process()
        if process and self.world.broker.messages:
            self.world.deliver(self.random.randrange(len(self.world.broker.messages)), process, keeps=keeps)

    def double(self) -> None:
        self.deliver(keeps=True)

    def send(self) -> None:
        process = self._free_process()
        if process and len(self.world.tables.events) < MOST_EVENTS:
            key = f"key {self.random.randrange(MOST_EVENTS + 2)}"
            n = self.random.choice((1, 9))
            people.send(self.world, process, self.random.choice(self.shapes), key, n)

    def sweep(self) -> None:
        if process := self._free_process():
            self.world.sweep(process)

    def let_time_pass(self) -> None:
        """Living processes renew their leases three times as often as they must; the adversary may be in their way."""
        self.world.let_time_pass(self.random.choice(SECONDS))
        for process in self.world.living:
            if process.keeper.holds_anything and self.random.random() < 0.7:
                self.world.beat(process)

    def kill(self) -> None:
        alive = [process for process in self.world.processes if process.is_alive]
        self.world.kill(self.random.choice(alive))

    def pause(self) -> None:
        """One stops or continues; one worker always moves."""
        paused = [process for process in self.world.processes if process.is_alive and process.is_paused]
        if paused and self.random.random() < 0.6:
            self.world.pause(self.random.choice(paused), is_paused=False)
        elif len([process for process in self.world.living if not process.is_cell]) > 1:
            self.world.pause(self.random.choice(self.world.living), is_paused=True)

    def lose(self) -> None:
        if self.world.broker.messages:
            self.world.lose(self.random.randrange(len(self.world.broker.messages)))

    def flush(self) -> None:
        self.world.broker.messages.clear()
        if self.random.random() < 0.5:
            self.world.broker.flags.clear()

    def cancel(self) -> None:
        process = self._free_process()
        if process and self.world.tables.runs:
            people.cancel(self.world, process, self.random.choice(list(self.world.tables.runs)))

    def replay(self) -> None:
        ended = [r.id for r in self.world.tables.runs.values() if r.status in ("failed", "cancelled")]
        process = self._free_process()
        if process and ended and len(self.world.tables.runs) < 2 * MOST_EVENTS:
            people.replay(self.world, process, self.random.choice(ended))

    def forge(self) -> None:
        if process := self._free_process():
            self.world.receive(self.random.choice(people.forgeries(self.world)), process)


def play(
    seed: int,
    *,
    planted: frozenset[str] = frozenset(),
    likes: Mapping[str, float] | None = None,
    moves: int = MOVES,
) -> World:
    """A whole world: mischief, then quiet. The same seed plays the same; `likes` are weights of certain moves.

    Raises:
        Failure: with the seed and the trace.
    """
    random = Random(seed)
    widths = (random.randint(1, 4), random.randint(1, 2))
    with World(seed, planted=planted, widths=widths) as world:
        try:
            Adversary(world, random, likes).play(moves)
            quiesce(world, loses_messages=random.random() < 0.5)
        except BaseException as error:
            raise Failure(seed, world, error) from error
    return world


class Failure(Exception):
    """Something that must hold did not: which seed shows it, and how it came to that."""

    def __init__(self, seed: int, world: World, error: BaseException) -> None:
        story = "\n".join(world.trace[-80:])
        super().__init__(f"seed {seed}: {type(error).__name__}: {error}\n{story}")
