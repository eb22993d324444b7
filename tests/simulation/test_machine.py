"""The same worlds, moved by Hypothesis: what fails here is shrunk to the shortest story that shows it."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.simulation import people
from tests.simulation.adversary import SECONDS
from tests.simulation.flows import FAST_ANSWERS, SLOW_ANSWERS
from tests.simulation.quiet import quiesce
from tests.simulation.store import Ending
from tests.simulation.world import World

any_place = st.integers(0, 30)  # of whatever there is then: taken modulo


class Installation(RuleBasedStateMachine):
    """One world; every rule is one thing that can happen."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(1)
        self.world.__enter__()

    def teardown(self) -> None:
        """However it ended, from there on everything must end."""
        try:
            quiesce(self.world, loses_messages=True)
        finally:
            self.world.__exit__(None, None, None)

    def _process(self, place: int) -> Any:
        workers = [process for process in self.world.living if not process.is_cell]
        return workers[place % len(workers)]

    @rule(process=any_place, flow=any_place, key=st.sampled_from("abc"), n=st.sampled_from((1, 9)))
    def send(self, process: int, flow: int, key: str, n: int) -> None:
        flows = list(self.world.tables.flows)
        people.send(self.world, self._process(process), flows[flow % len(flows)], key, n)

    @precondition(lambda self: self.world.ready)
    @rule(actor=any_place, ending=st.sampled_from(Ending), answer=st.sampled_from(sorted(SLOW_ANSWERS)))
    def go_on(self, actor: int, ending: Ending, answer: str) -> None:
        chosen = self.world.ready[actor % len(self.world.ready)]
        orders = {"send": answer, "work": answer if answer in FAST_ANSWERS else "ok"}
        self.world.resume(chosen, orders.get(chosen.at, ending))

    @precondition(lambda self: self.world.ready)
    @rule(times=st.integers(1, 8))
    def all_go_on(self, times: int) -> None:
        """Without mischief, so that short stories get far."""
        for _ in range(times):
            if ready := self.world.ready:
                self.world.resume(ready[0], Ending.HEARD)
            elif self.world.broker.messages:
                self.world.deliver(0, self._process(0))

    @precondition(lambda self: self.world.broker.messages)
    @rule(message=any_place, process=any_place, keeps=st.booleans())
    def deliver(self, message: int, process: int, keeps: bool) -> None:
        self.world.deliver(message % len(self.world.broker.messages), self._process(process), keeps=keeps)

    @precondition(lambda self: self.world.broker.messages)
    @rule(message=any_place)
    def lose(self, message: int) -> None:
        self.world.lose(message % len(self.world.broker.messages))

    @rule(process=any_place)
    def kill(self, process: int) -> None:
        alive = self.world.living_or_paused()
        self.world.kill(alive[process % len(alive)])

    @rule(process=any_place)
    def pause_or_continue(self, process: int) -> None:
        """One worker always moves."""
        alive = self.world.living_or_paused()
        chosen = alive[process % len(alive)]
        others = [p for p in self.world.living if p is not chosen and not p.is_cell]
        if chosen.is_paused or others:
            self.world.pause(chosen, is_paused=not chosen.is_paused)

    @rule(seconds=st.sampled_from(SECONDS), renews=st.booleans())
    def let_time_pass(self, seconds: float, renews: bool) -> None:
        self.world.let_time_pass(seconds)
        for process in self.world.living if renews else []:
            self.world.beat(process)

    @rule(process=any_place)
    def sweep(self, process: int) -> None:
        self.world.sweep(self._process(process))

    @precondition(lambda self: self.world.tables.runs)
    @rule(run=any_place, process=any_place, replays=st.booleans())
    def cancel_or_replay(self, run: int, process: int, replays: bool) -> None:
        runs = list(self.world.tables.runs)
        deed = people.replay if replays else people.cancel
        deed(self.world, self._process(process), runs[run % len(runs)])

    @rule(seed=st.integers(0, 1000), process=any_place)
    def forge(self, seed: int, process: int) -> None:
        self.world.receive(Random(seed).choice(people.forgeries(self.world)), self._process(process))


TestInstallation = Installation.TestCase
TestInstallation.settings = settings(
    max_examples=40,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,  # the suite plays the same stories each time; seeds bring the new ones
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
