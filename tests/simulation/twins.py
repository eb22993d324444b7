"""The same operation on PostgreSQL and on the rows in memory, and a look whether they still agree in every column.

PostgreSQL's clock is stopped for it: a schema in front of `pg_catalog` has a `clock_timestamp()` and a
`statement_timestamp()` that read a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from executions import published
from executions.models import Lane
from lightfield.kernel import sql
from tests.simulation import loading
from tests.simulation.halves import WIDTHS, Half, RealHalf, SimulatedHalf
from tests.simulation.tables import BEGINNING
from tests.simulation.world import World

FROZEN = """
CREATE SCHEMA frozen;
CREATE FUNCTION frozen.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
  AS $$ SELECT current_setting('simulation.now')::timestamptz $$;
CREATE FUNCTION frozen.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
  AS $$ SELECT current_setting('simulation.now')::timestamptz $$;
"""


class Disagreement(AssertionError):
    """PostgreSQL did something else than the rows in memory."""


class Twins:
    """Both halves, and one clock."""

    def __init__(self, planted: frozenset[str] = frozenset()) -> None:
        self.real, self.simulated = RealHalf(), SimulatedHalf(planted)
        self.now = BEGINNING
        self.done: list[str] = []

    def both(self, name: str, operation: Callable[[Half], Any]) -> tuple[Any, Any]:
        """Do it on both sides. Returns both results; an exception is a result, too.

        Raises:
            Disagreement: some column, bell or exception differs now.
        """
        self.done.append(name)
        self.now += timedelta(milliseconds=1)
        results = [self._do(half, operation) for half in (self.real, self.simulated)]
        seen = [
            (self._kind(result), half.look(), half.rung())
            for half, result in zip(self.halves, results, strict=True)
        ]
        if seen[0] != seen[1]:
            raise Disagreement("\n".join([*self.done[-40:], *_differences(*seen)]))
        return results[0], results[1]

    @property
    def halves(self) -> tuple[Half, Half]:
        return self.real, self.simulated

    def _do(self, half: Half, operation: Callable[[Half], Any]) -> Any:
        with half.at_work(self.now):
            try:
                return operation(half)
            except Exception as error:  # noqa: BLE001  both sides must raise the same
                return error

    @staticmethod
    def _kind(result: Any) -> str:
        return type(result).__name__ if not isinstance(result, bool | int) else repr(result)


def _differences(real: Any, simulated: Any) -> Iterator[str]:
    if real[0] != simulated[0] or real[2] != simulated[2]:
        yield f"PostgreSQL: {real[0]} {real[2]}"
        yield f"in memory:  {simulated[0]} {simulated[2]}"
    for table in real[1]:
        left, right = real[1][table], simulated[1][table]
        for row in left:
            if row not in right:
                yield f"PostgreSQL, {table}: {row}"
        for row in right:
            if row not in left:
                yield f"in memory,  {table}: {row}"


@contextmanager
def stopped_clock() -> Iterator[None]:
    """PostgreSQL as twins need it. The database's tables must be this test's alone."""
    published.load.cache_clear()  # versions of other tests had the same ids
    sql.rows("DROP SCHEMA IF EXISTS frozen CASCADE", {})
    for statement in FROZEN.split(";\n"):
        if statement.strip():
            sql.rows(statement, {})
    sql.rows("SELECT set_config('search_path', 'frozen, pg_catalog, public', false)", {})
    loading.load_flows()
    for lane in World(0, widths=WIDTHS).tables.lanes.values():
        Lane.objects.filter(name=lane.name).update(width=lane.width, per_workflow=lane.per_workflow)
    try:
        yield
    finally:
        sql.rows("SELECT set_config('search_path', '\"$user\", public', false)", {})
        sql.rows("DROP SCHEMA frozen CASCADE", {})
        published.load.cache_clear()
