"""Operations for twins, chosen from a seed: mostly such as may happen next, sometimes such as must be refused.

Here are those on fast steps, cells and time; the modules that this one imports have the others.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from executions import cells, engine, sweeper
from tests.simulation.draws import Draws
from tests.simulation.flows import FAST_ANSWERS
from tests.simulation.halves import Half
from tests.simulation.operations_on_runs import OperationsOnRuns
from tests.simulation.operations_on_slow_steps import OperationsOnSlowSteps
from tests.simulation.twins import Twins

SECONDS = (0.7, 3.1, 13.3, 37.7, 63.9, 127.3)


class Operations:
    """All of them, each with its weight."""

    def __init__(self, twins: Twins, seed: int) -> None:
        self.draw = Draws(twins, seed)
        self.runs = runs = OperationsOnRuns(self.draw)
        slow_steps = OperationsOnSlowSteps(self.draw)
        self.weights: dict[Callable[[], None], int] = {
            runs.capture: 5,
            runs.lead_on: 3,
            runs.dispatch: 6,
            slow_steps.admit: 8,
            slow_steps.claim: 8,
            slow_steps.claim_in_cell: 10,
            slow_steps.intend: 9,
            slow_steps.settle: 12,
            slow_steps.settle_together: 4,
            slow_steps.renew: 2,
            self.advance: 8,
            self.run_fast_in_cell: 3,
            self.note_end: 4,
            runs.cancel: 2,
            runs.expire: 1,
            runs.replay: 3,
            slow_steps.tell_late_truth: 2,
            self.settle_effects: 2,
            self.sweep: 5,
            self.pass_time: 9,
            slow_steps.ask_owned: 1,
            runs.archive: 1,
        }

    def play(self, number: int) -> None:
        self.runs.capture()
        self.runs.capture(again=True)
        if self.draw.random.random() < 0.5:
            self.runs.poison()
        while len(self.draw.twins.done) < number:
            (operation,) = self.draw.random.choices(list(self.weights), list(self.weights.values()))
            operation()

    # --- fast steps and cells ---------------------------------------------------------------------

    def advance(self) -> None:
        answer = self.draw.random.choice(("ok", "ok", *FAST_ANSWERS))
        if run := self.draw.run("pending", "running", "waiting"):

            def advanced(half: Half) -> str:
                half.answer = answer
                return str(engine.advance_run(half.run_id(run)))

            self.draw.twins.both(f"advance {run} {answer}", advanced)

    def run_fast_in_cell(self) -> None:
        tables = self.draw.twins.simulated.world.tables
        names = [
            self.draw.twins.simulated.steps[s.id]
            for s in tables.live.values()
            if s.lane == "fast" and s.rings >= 2
        ]
        if names:
            name = names[0]

            def ran(half: Half) -> None:
                cells._run_fast([half.step_id(name)])

            self.draw.twins.both(f"fast cell {name}", ran)

    def note_end(self) -> None:
        if held := self.draw.any_held():
            died, owner = self.draw.random.random() < 0.7, held.owner.removesuffix("#t")
            self.draw.twins.both(
                f"note end {owner} {died}",
                lambda half: cells.note_end(
                    [held.hands[half].step_run_id], held.hands[half].lane, owner, died=died
                ),
            )

    # --- time -------------------------------------------------------------------------------------

    def settle_effects(self) -> None:
        self.draw.twins.both("settle effects", lambda half: sweeper.settle_effects())

    def sweep(self) -> None:
        self.draw.twins.both("sweep", lambda half: sweeper.sweep())

    def pass_time(self) -> None:
        seconds = self.draw.random.choice(SECONDS)
        self.draw.twins.done.append(f"{seconds} s pass")
        self.draw.twins.now += timedelta(seconds=seconds)
