"""What the servers count: transactions, WAL and buffers of PostgreSQL, commands of Valkey.

A backend of PostgreSQL reports its counters once a second while it works, and 10 s after it went idle: a difference is
exact only between two calm moments (`Options.flush_seconds`). What runs by itself meanwhile, some transactions a second,
is in it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
import redis

DATABASE = """
SELECT xact_commit + xact_rollback AS transactions, blks_hit + blks_read AS buffers,
  tup_inserted + tup_updated + tup_deleted AS rows_written
FROM pg_stat_database WHERE datname = current_database()
"""
WAL = """
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS wal_bytes, wal_records, wal_fpi AS wal_full_pages
FROM pg_stat_wal
"""
HAS_STATEMENTS = "SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'"
FOREIGN_KEY_CHECK = (
    "query LIKE 'SELECT % FOR KEY SHARE OF x'"  # PostgreSQL's own, one for each reference written
)
STATEMENTS = f"""
SELECT sum(calls) FILTER (WHERE NOT {FOREIGN_KEY_CHECK}) AS statements,
  sum(calls) FILTER (WHERE {FOREIGN_KEY_CHECK}) AS foreign_key_checks
FROM pg_stat_statements
"""
COSTLIEST = """
SELECT calls, round(total_exec_time::numeric, 1)::float8 AS milliseconds, rows, left(regexp_replace(query, '\\s+', ' ', 'g'), 200)
FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 25
"""


@dataclass(frozen=True)
class Counts:
    """Totals since the servers started, by name."""

    of: dict[str, float]

    def minus(self, before: Counts) -> dict[str, float]:
        return {name: self.of[name] - before.of[name] for name in self.of}

    def per_run(self, before: Counts, runs: int) -> dict[str, float]:
        """What one run added since `before`."""
        return {f"{name}_per_run": added / runs for name, added in self.minus(before).items()}


def of_postgres(connection: psycopg.Connection[Any]) -> dict[str, float]:
    counted = {**_row(connection, DATABASE), **_row(connection, WAL)}
    if connection.execute(HAS_STATEMENTS).fetchone():
        counted |= _row(connection, STATEMENTS)
    return counted


def of_valkey(url: str) -> dict[str, float]:
    """Commands, and of these LPUSH, which sends a message to a queue and nothing else; those inside scripts count too."""
    with redis.Redis.from_url(url) as client:
        commands: dict[str, Any] = client.info("commandstats")
    return {
        "redis_commands": float(sum(of["calls"] for of in commands.values())),
        "messages": float(commands.get("cmdstat_lpush", {"calls": 0})["calls"]),
    }


def forget_statements(connection: psycopg.Connection[Any]) -> None:
    """Begin to count statements anew, when pg_stat_statements counts them."""
    if connection.execute(HAS_STATEMENTS).fetchone():
        connection.execute("SELECT pg_stat_statements_reset()")


def costliest(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """The statements that took longest in all, when pg_stat_statements counts them."""
    if not connection.execute(HAS_STATEMENTS).fetchone():
        return []
    names = ("calls", "milliseconds", "rows", "query")
    return [dict(zip(names, row, strict=True)) for row in connection.execute(COSTLIEST).fetchall()]


def _row(connection: psycopg.Connection[Any], query: str) -> dict[str, float]:
    cursor = connection.execute(query)
    found, columns = cursor.fetchone(), cursor.description
    assert found is not None
    assert columns is not None
    return {column.name: float(value or 0) for column, value in zip(columns, found, strict=True)}
