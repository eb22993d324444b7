"""The two that are compared: the product on PostgreSQL, and the product on the rows in memory.

Runs and steps get other ids on each side. So an operation names them by their event, generation and position, and
rows and bells are compared under these names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from unittest import mock
from uuid import UUID

from executions import attempts, cells
from executions.models import Attempt, Effect, Run, StepRun, TimelineEntry
from lightfield.kernel import bells, sql
from tests.bellboy import Bellboy
from tests.simulation import loading
from tests.simulation.flows import step_types
from tests.simulation.seams import installed
from tests.simulation.world import World
from triggers.models import OutboxEvent
from workflows.models import Workflow

WIDTHS = (3, 2)  # of the lanes http and ai
RUN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Half:
    """What both sides have in common: names for ids, and what was rung."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}  # id → name: <event>/<generation>
        self.steps: dict[int, str] = {}  # id → name: <run name>/<position>
        self.bellboy = Bellboy()
        self.answer = "ok"  # what step types meet

    def ask(self, kind: str, context: Any) -> str:
        return self.answer

    def step_id(self, name: str) -> int:
        return next(i for i, known in self.steps.items() if known == name)

    def run_id(self, name: str) -> str:
        return next(i for i, known in self.runs.items() if known == name)

    def look(self) -> dict[str, list[dict[str, Any]]]:
        """All rows, under their names."""
        rows = self._rows()
        for run in rows["runs"]:
            self.runs[str(run["id"])] = f"{run['event_id']}/{run['generation']}"
        for step in rows["steps"]:
            self.steps[step["id"]] = f"{self.runs[str(step['run_id'])]}/{step['position']}"
        named = {table: [self._named(table, row) for row in found] for table, found in rows.items()}
        return {
            table: sorted(found, key=lambda row: json.dumps(row, default=str))
            for table, found in named.items()
        }

    def rung(self) -> list[str]:
        """The bells since the last look, under names."""
        found = [f"{bell.task} {[self._called(part) for part in bell.args]}" for bell in self.bellboy.rung]
        self.bellboy.rung.clear()
        self.bellboy.waiting.clear()
        return sorted(found)

    def _called(self, part: Any) -> Any:
        """An argument of a bell: ids in any order, as RETURNING gives them; a shard or a lane as it is."""
        if not isinstance(part, list):
            return part
        return sorted(
            self.steps.get(one, "?") if isinstance(one, int) else self._renamed(one) for one in part
        )

    def _renamed(self, text: str) -> str:
        return RUN_ID.sub(lambda found: self.runs.get(found[0], found[0]), text)

    def _named(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        named = {name: self._value(name, value) for name, value in row.items()}
        if table == "effects":
            del named["id"]
        return named

    def _value(self, column: str, value: Any) -> Any:
        if column in ("step_run_id",) or (column == "id" and value in self.steps):
            return self.steps[value]
        if column == "metadata":
            return json.loads(self._renamed(json.dumps(value)))
        if isinstance(value, memoryview):
            return bytes(value)
        if isinstance(value, UUID | str):
            return self._renamed(str(value))
        return value

    def archive(self, name: str) -> None:
        raise NotImplementedError

    def lead_on(self, run: str, event_id: str, depth: int) -> None:
        """It was this run that led to the event."""
        raise NotImplementedError

    def _rows(self) -> dict[str, list[dict[str, Any]]]:
        raise NotImplementedError

    @contextmanager
    def at_work(self, now: datetime) -> Iterator[None]:
        raise NotImplementedError
        yield


class RealHalf(Half):
    """PostgreSQL, with its clock stopped."""

    def __init__(self) -> None:
        super().__init__()
        loading.empty()
        Workflow.objects.update(status="active")

    @contextmanager
    def at_work(self, now: datetime) -> Iterator[None]:
        sql.rows("SELECT set_config('simulation.now', %(now)s::text, false)", {"now": now.isoformat()})
        before = bells.use(self.bellboy)
        try:
            with (
                step_types(self.ask),
                mock.patch.object(attempts, "random", NoChance()),
                mock.patch.object(cells, "worker_name", return_value="nobody"),
            ):
                yield
        finally:
            bells.use(before)
        # The column's default was bound to the true clock when the table was made.
        OutboxEvent.objects.filter(captured_at__gt=now + timedelta(days=365)).update(captured_at=now)

    def archive(self, name: str) -> None:
        Workflow.objects.filter(name=name).update(status="archived")

    def lead_on(self, run: str, event_id: str, depth: int) -> None:
        OutboxEvent.objects.filter(pk=event_id).update(caused_by=self.run_id(run), depth=depth)

    def _rows(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "events": [dict(row) | {"payload": dict(row["payload"])} for row in OutboxEvent.objects.values()],
            "runs": [dict(row) for row in Run.objects.values()],
            "steps": [dict(row) for row in StepRun.objects.values()],
            "attempts": [dict(row) for row in Attempt.objects.values()],
            "effects": [dict(row) for row in Effect.objects.values()],
            "entries": [dict(row) for row in TimelineEntry.objects.values()],
        }


class NoChance:
    """In place of the module `random`: backoff without chance."""

    def random(self) -> float:
        return 0.5


class SimulatedHalf(Half):
    """The rows in memory."""

    def __init__(self, planted: frozenset[str]) -> None:
        super().__init__()
        self.world = World(1, planted=planted, widths=WIDTHS)
        self.world.tables.tick = timedelta()
        self.world.randomness = NoChance()  # type: ignore[assignment]
        self.world.ask = self.ask  # type: ignore[method-assign]
        self.world.broker.ring = self.bellboy.ring  # type: ignore[method-assign]

    @contextmanager
    def at_work(self, now: datetime) -> Iterator[None]:
        self.world.tables.clock = now
        with installed(self.world):
            yield

    def archive(self, name: str) -> None:
        for flow in self.world.tables.flows.values():
            if flow.name == name:
                flow.status = "archived"

    def lead_on(self, run: str, event_id: str, depth: int) -> None:
        tables = self.world.tables
        tables.change(tables.events[event_id], caused_by=self.run_id(run), depth=depth)
        tables.commit()

    def _rows(self) -> dict[str, list[dict[str, Any]]]:
        tables = self.world.tables
        return {
            "events": [asdict(row) | {"payload": json.loads(row.payload)} for row in tables.events.values()],
            "runs": [asdict(row) for row in tables.runs.values()],
            "steps": [asdict(row) for row in tables.steps.values()],
            "attempts": [asdict(row) for rows in tables.attempts.values() for row in rows],
            "effects": [asdict(row) for row in tables.effects.values()],
            "entries": [asdict(row) for rows in tables.entries.values() for row in rows],
        }
