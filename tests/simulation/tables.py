"""The tables of a simulated world: inserts, changes with the database's guards, and rollback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from executions.states import LIVE_STEP
from tests.simulation.rows import (
    Attempt,
    Effect,
    Entry,
    Event,
    Flow,
    GuardBroken,
    Lane,
    Row,
    Run,
    Step,
    is_final,
)

R = TypeVar("R", Event, Run, Step, Attempt, Effect)
BEGINNING = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
MICROSECOND = timedelta(microseconds=1)


class Tables:
    """Rows by their keys. Everything written is noted, so that a transaction can be rolled back."""

    def __init__(
        self, number: int, flows: Iterable[Flow], lanes: Iterable[Lane], planted: frozenset[str] = frozenset()
    ) -> None:
        self.number = number  # of the world: its ids are in nobody else's way
        self.planted = planted  # faults that the statements are to have, see `planting`
        self.clock = BEGINNING
        self.tick = MICROSECOND
        self.flows = {flow.id: flow for flow in flows}
        self.versions = {flow.version_id: flow for flow in self.flows.values()}
        self.lanes = {lane.name: lane for lane in lanes}
        self.events: dict[str, Event] = {}
        self.runs: dict[str, Run] = {}
        self.steps: dict[int, Step] = {}
        self.steps_of: dict[str, list[Step]] = {}
        self.attempts: dict[int, list[Attempt]] = {}
        self.effects: dict[tuple[str, str], Effect] = {}
        self.entries: dict[str, list[Entry]] = {}
        self.live: dict[int, Step] = {}  # the partial indexes: steps that have not ended
        self.touched: set[str] = set()  # runs changed since somebody last looked
        self.closed: list[Attempt] = []  # attempts that got their outcome since then
        self._undo: list[Callable[[], Any]] = []
        self._ids = 0

    # --- identity and time ------------------------------------------------------------------------

    def now(self) -> datetime:
        """clock_timestamp(): never the same twice, while it ticks."""
        self.clock += self.tick
        return self.clock

    def new_uuid(self) -> str:
        self._ids += 1
        return str(UUID(int=(self.number << 64) + self._ids))

    def new_id(self) -> int:
        self._ids += 1
        return self.number * 1_000_000 + self._ids

    # --- writing ----------------------------------------------------------------------------------

    def change(self, row: Row, **columns: Any) -> None:
        """UPDATE of one row."""
        if is_final(row):
            raise GuardBroken(f"{columns} would change {row}")
        before = {name: getattr(row, name) for name in columns}
        for name, value in columns.items():
            setattr(row, name, value)
        self._undo.append(lambda: self._restore(row, before))
        self._indexed(row)

    def _restore(self, row: Row, before: dict[str, Any]) -> None:
        for name, value in before.items():
            setattr(row, name, value)
        self._indexed(row)

    def _indexed(self, row: Row) -> None:
        match row:
            case Step():
                self.touched.add(row.run_id)
                if row.status in LIVE_STEP:
                    self.live[row.id] = row
                else:
                    self.live.pop(row.id, None)
            case Run():
                self.touched.add(row.id)
            case Attempt():
                self.touched.add(self.steps[row.step_run_id].run_id)
                if row.outcome is not None:
                    self.closed.append(row)
            case Effect():
                self.touched.add(row.scope)
            case _:
                pass

    def add_event(self, event: Event) -> None:
        self.events[event.id] = event
        self._undo.append(lambda: self.events.pop(event.id))

    def add_run(self, run: Run) -> None:
        if any(r.event_id == run.event_id and r.generation == run.generation for r in self.runs.values()):
            raise GuardBroken(f"a second run of generation {run.generation}: {run}")
        self.runs[run.id] = run
        self.steps_of[run.id] = []
        self.entries[run.id] = []
        self._undo.append(
            lambda: (self.runs.pop(run.id), self.steps_of.pop(run.id), self.entries.pop(run.id))
        )
        self._indexed(run)

    def add_step(self, step: Step) -> Step:
        steps = self.steps_of[step.run_id]
        if any(other.position == step.position for other in steps):
            raise GuardBroken(f"a second row at the position of {step}")
        self.steps[step.id] = step
        self.attempts[step.id] = []
        steps.append(step)
        self._undo.append(lambda: self._forget_step(step))
        self._indexed(step)
        return step

    def _forget_step(self, step: Step) -> None:
        del self.steps[step.id], self.attempts[step.id]
        self.live.pop(step.id, None)
        self.steps_of[step.run_id].remove(step)

    def add_attempt(self, attempt: Attempt) -> None:
        attempts = self.attempts[attempt.step_run_id]
        if any(other.number == attempt.number for other in attempts):
            raise GuardBroken(f"a second row for {attempt}")
        attempts.append(attempt)
        self._undo.append(lambda: attempts.remove(attempt))

    def add_effect(self, effect: Effect) -> None:
        self.effects[effect.scope, effect.key] = effect
        self._undo.append(lambda: self.effects.pop((effect.scope, effect.key)))
        self._indexed(effect)

    def tell(self, run: Run, **columns: Any) -> None:
        """INSERT of one timeline entry."""
        entries = self.entries[run.id]
        entry = Entry(run_id=run.id, **columns)
        if any(other.seq == entry.seq for other in entries[-20:]):
            raise GuardBroken(f"a second entry {entry.seq}: {entry}")
        entries.append(entry)
        self._undo.append(lambda: entries.remove(entry))

    # --- reading ----------------------------------------------------------------------------------

    def last_attempt(self, step: Step) -> Attempt | None:
        """The attempt with the number that the step counts."""
        return next((a for a in reversed(self.attempts[step.id]) if a.number == step.attempts), None)

    def effects_of(self, step: Step) -> Iterator[Effect]:
        return (effect for effect in self.effects.values() if effect.step_run_id == step.id)

    def intended(self, step: Step) -> Effect | None:
        return next((effect for effect in self.effects_of(step) if effect.status == "intent"), None)

    # --- transactions -----------------------------------------------------------------------------

    def commit(self) -> None:
        self._undo.clear()

    def roll_back(self) -> None:
        while self._undo:
            self._undo.pop()()
