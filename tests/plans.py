"""How PostgreSQL would run the engine's statements: their one plan, on tables of a chosen age.

The tables are copies in a schema of their own, made and filled in a transaction that is never committed. So no earlier
test and no autovacuum has left statistics there, and nobody else sees them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from django.db import connection

from executions.planner_statistics import TABLES
from lightfield.kernel import sql

HOT = TABLES
SMALL = ("triggers_trigger", "workflows_workflow", "workflows_workflowversion", "executions_lane")
ALL = "ANY(%(tables)s::text[]::regclass[])"
AS_A_WORKER = {  # what lightfield/settings.py asks for in workers
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
KEY = re.compile(r"\b(id|run_id|step_run_id) = ")  # with a value, or with a column of what it is joined to


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The statements that the engine sends meanwhile, in any thread. Those of tests and their helpers are left out."""
    found: set[str] = set()
    send, send_after = sql.rows, sql.rows_after

    def rows(statement: str, params: Any) -> Any:
        caller: Any = sys._getframe(1)
        while caller.f_globals["__name__"] == sql.__name__:
            caller = caller.f_back
        if not caller.f_globals["__name__"].startswith("tests."):
            found.add(statement)
        return send(statement, params)

    def rows_after(first: str, statement: str, params: Any) -> Any:
        found.update((first, statement))
        return send_after(first, statement, params)

    with monkeypatch.context() as patch:
        patch.setattr(sql, "rows", rows)
        patch.setattr(sql, "rows_after", rows_after)
        yield found


@dataclass(frozen=True)
class Read:
    """A place in a plan where a hot table is read."""

    by: str  # an index, or the table itself
    is_partial: bool
    asked: str  # what the index is asked for; nothing: all of it is read
    sifted: str  # what is thrown away after it was read

    @property
    def is_walk(self) -> bool:
        """All that the index holds is read, each time."""
        return not self.asked

    @property
    def overlooks_the_key(self) -> bool:
        """The rows wanted are known by their keys, and found by a status that many have."""
        return self.is_partial and bool(KEY.search(self.sifted)) and not KEY.search(self.asked)


class Planner:
    """A worker's connection to tables without rows and without statistics: a new installation."""

    def __init__(self) -> None:
        given = connection.get_connection_params()
        names = ("host", "port", "user", "password", "dbname")
        self._connection = psycopg.connect(**{name: given[name] for name in names if name in given})
        self._prepared: dict[str, str] = {}
        for setting, value in AS_A_WORKER.items():
            self._run("SELECT set_config(%(setting)s, %(value)s, false)", setting=setting, value=value)
        self._copy_tables([*HOT, *SMALL])
        self._is_partial = dict(
            self._run(
                "SELECT c.relname, i.indpred IS NOT NULL FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                f"WHERE i.indrelid = {ALL}",
                tables=list(HOT),
            )
        )

    def close(self) -> None:
        self._connection.rollback()
        self._connection.close()

    def _run(self, statement: str, **params: Any) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(statement.encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def _copy_tables(self, tables: list[str]) -> None:
        """With keys, indexes and storage of the same names. LIKE alone would leave foreign keys out, which the planner
        draws conclusions from, and the room that is left in pages."""
        keys = self._run(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            f"WHERE conrelid = {ALL} AND contype IN ('p', 'u', 'f') ORDER BY contype = 'f'",
            tables=tables,
        )
        indexes = self._run(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index "
            f"WHERE indrelid = {ALL} AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid "
            "AND contype IN ('p', 'u'))",
            tables=tables,
        )
        storage = self._run(
            f"SELECT relname, array_to_string(reloptions, ', ') FROM pg_class WHERE oid = {ALL} AND reloptions <> '{{}}'",
            tables=tables,
        )
        self._run("CREATE SCHEMA young")
        for table in tables:
            self._run(
                f"CREATE TABLE young.{table} (LIKE public.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
            )
        self._run("SET search_path = young, public")
        for table, name, definition in keys:
            self._run(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
        for (definition,) in indexes:
            self._run(definition.replace(" ON public.", " ON young."))
        for table, options in storage:
            self._run(f"ALTER TABLE {table} SET ({options})")

    def reads(self, statement: str) -> list[Read]:
        """Where the plan of this statement reads hot tables."""
        return list(self._reads(self.plan(statement), sifted=""))

    def plan(self, statement: str) -> dict[str, Any]:
        """The one plan that all executions of a prepared statement share. Nothing is executed.

        It is prepared once: later calls show what PostgreSQL has made of the plan since.
        """
        text, names = sql.numbered(statement)
        if statement not in self._prepared:
            self._prepared[statement] = prepared = f"statement_{len(self._prepared)}"
            self._run(f"PREPARE {prepared} AS {text.decode()}")
        values = f"({', '.join(['NULL'] * len(names))})" if names else ""
        ((explained,),) = self._run(f"EXPLAIN (FORMAT JSON) EXECUTE {self._prepared[statement]}{values}")
        return dict(explained[0]["Plan"])

    def _reads(self, node: dict[str, Any], sifted: str) -> Iterator[Read]:
        index, table = node.get("Index Name", ""), node.get("Relation Name", "")
        sifted = f"{sifted} {node.get('Filter', '')}"
        if index in self._is_partial:
            yield Read(index, self._is_partial[index], node.get("Index Cond", ""), sifted)
        elif table in HOT and node["Node Type"] == "Seq Scan":
            yield Read(table, False, "", sifted)
        # What is found by a bitmap is sifted above it, and so is what is joined without being asked for by its key.
        is_bitmap = node["Node Type"].startswith("Bitmap")
        for below in node.get("Plans", ()):
            yield from self._reads(below, sifted if is_bitmap else str(node.get("Join Filter", "")))

    def grow(self, times: int, runs: str, *, scattered: bool = False) -> None:
        """Fill the tables with the real rows of these runs so many times over, and let PostgreSQL look at them.

        `scattered`: rows do not lie in the order of their keys, which makes an index dearer to walk.
        """
        for table in SMALL:
            self._run(f"INSERT INTO {table} SELECT * FROM public.{table}")
        chosen = f"SELECT id FROM public.executions_run WHERE {runs}"
        steps = f"SELECT id FROM public.executions_steprun WHERE run_id IN ({chosen})"
        of_runs, of_steps = f"t.run_id IN ({chosen})", f"t.step_run_id IN ({steps})"
        events = f"t.id IN (SELECT event_id FROM public.executions_run WHERE {runs})"
        copies: dict[str, tuple[str, list[str], list[str]]] = {  # which rows; columns of uuids and of numbers
            "triggers_outboxevent": (events, ["id"], []),
            "executions_run": (f"t.id IN ({chosen})", ["id", "event_id", "replay_of_id"], []),
            "executions_steprun": (of_runs, ["run_id"], ["id"]),
            "executions_attempt": (of_steps, [], ["step_run_id"]),
            "executions_effect": (of_steps, ["scope"], ["id", "step_run_id"]),
            "executions_timelineentry": (of_runs, ["run_id"], []),
        }
        for table, (which, uuids, numbers) in copies.items():
            keys = [f"'{key}', lpad(to_hex(n), 8, '0') || substr(t.{key}::text, 9)" for key in uuids]
            keys += [f"'{key}', t.{key} + n * 1000000::bigint" for key in numbers]
            self._run(
                f"INSERT INTO {table} SELECT copy.* FROM public.{table} t CROSS JOIN generate_series(1, {times}) n "
                f"CROSS JOIN LATERAL jsonb_populate_record(t, jsonb_build_object({', '.join(keys)})) copy "
                f"WHERE {which} ORDER BY {'hashint4(n)' if scattered else 'n'}"
            )
        for table in HOT:
            self._run(f"ANALYZE {table}")
