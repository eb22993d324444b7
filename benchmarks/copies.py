"""Many rows from one: a row that the system wrote itself is the template, so that new columns need no change here."""

from __future__ import annotations

from typing import Any

import psycopg

COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position
"""


def insert(
    connection: psycopg.Connection[Any],
    table: str,
    changed: dict[str, str],
    *,
    each: str,
    template: str,
    params: dict[str, Any],
) -> int:
    """Copy the template's rows once for each row of `each`; how many rows were written.

    Args:
        changed: an SQL expression for each column that is not simply copied; `t` is the template's row and
            `x` that of `each`.
        each: what stands behind CROSS JOIN, named `x`.
        template: a condition on `t`.
    """
    columns = [row[0] for row in connection.execute(COLUMNS, [table]).fetchall()]
    if unknown := changed.keys() - set(columns):
        raise ValueError(f"{table} has no columns {', '.join(sorted(unknown))}")
    values = ", ".join(changed.get(column, f"t.{column}") for column in columns)
    statement = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} t CROSS JOIN {each} WHERE {template}"
    return connection.execute(statement, params).rowcount
