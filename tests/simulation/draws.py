"""What an operation for twins is applied to, chosen from a seed: steps, runs, and the steps in some worker's hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from executions.claims import StepInHand
from tests.simulation.flows import SHAPES
from tests.simulation.halves import Half
from tests.simulation.rows import Step
from tests.simulation.twins import Twins


@dataclass
class Held:
    """A step in the hands of the same worker on both sides, and what the worker knows of its intent."""

    hands: dict[Half, StepInHand]
    owner: str
    is_intended: bool = False


class Draws:
    """One seed's choices: mostly what may be next, sometimes what must be refused."""

    def __init__(self, twins: Twins, seed: int) -> None:
        self.twins = twins
        self.random = Random(seed)
        self.held: list[Held] = []
        self.numbers = 0
        self.shapes = self.random.sample(list(SHAPES), k=3)

    def steps(self, *likely: str) -> list[str]:
        """One or two steps, most often of a likely status."""
        return self._steps(lambda step: step.status in likely)

    def lost_steps(self) -> list[str]:
        """One or two, most often running ones whose lease is over."""
        now = self.twins.now
        return self._steps(lambda step: step.lease_expires_at is not None and step.lease_expires_at < now)

    def _steps(self, is_likely: Callable[[Step], bool]) -> list[str]:
        known = self.twins.simulated.world.tables.steps.values()
        names = self.twins.simulated.steps
        chosen: list[Step] = [s for s in known if is_likely(s) and self.random.random() < 0.9]
        pool = chosen or (list(known) if self.random.random() < 0.2 else [])
        picked = self.random.sample(pool, k=min(len(pool), self.random.choice((1, 1, 2))))
        return [names[step.id] for step in picked]

    def run(self, *likely: str) -> str | None:
        """One run, most often of a likely status."""
        known = self.twins.simulated.world.tables.runs.values()
        pool = [r for r in known if r.status in likely] or (list(known) if self.random.random() < 0.2 else [])
        return self.twins.simulated.runs[self.random.choice(pool).id] if pool else None

    def number(self) -> int:
        """One that was not drawn before: for ids and the names of workers."""
        self.numbers += 1
        return self.numbers

    def any_held(self) -> Held | None:
        """One of the six that were claimed last, whoever has it by now."""
        return self.random.choice(self.held[-6:]) if self.held else None

    def hold(self, real: list[StepInHand], simulated: list[StepInHand], owner: str) -> None:
        """These were claimed. Both sides must have claimed the same."""
        left, right = self.twins.halves
        ours = {left.steps[step.step_run_id]: step for step in real}
        theirs = {right.steps[step.step_run_id]: step for step in simulated}
        assert {n: facts_of(s) for n, s in ours.items()} == {n: facts_of(s) for n, s in theirs.items()}
        self.held += [Held({left: ours[name], right: theirs[name]}, owner) for name in sorted(ours)]


def facts_of(step: StepInHand) -> dict[str, Any]:
    """What must be the same on both sides."""
    names = "key position status fence attempt lost request outputs run_status is_due last_outcome payload workflow_name depth"
    return {name: getattr(step, name) for name in names.split()}
