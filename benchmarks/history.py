"""A long past for an installation: finished runs, copied from one that it has really run.

Written by SQL, as the superuser and without foreign keys being looked up row by row, which would take hours;
`bin/manage verify` says afterwards whether all of it fits together.
"""

from __future__ import annotations

from typing import Any

import psycopg

from benchmarks import copies
from lightfield.local.boot import say
from lightfield.local.ending import ending

BATCH = 20_000
TELL_EVERY = 200_000

TABLES = (
    "triggers_outboxevent",
    "executions_run",
    "executions_steprun",
    "executions_attempt",
    "executions_effect",
    "executions_timelineentry",
)

IDS = """
CREATE TEMP TABLE ids AS SELECT n, uuid_v7() AS event_id, uuid_v7() AS run_id, md5(random()::text) AS trace_id,
  nextval(pg_get_serial_sequence('executions_steprun', 'id')) AS step_id
FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""

# For each table: the template's rows, and what is different in a copy.
OF_RUN = "t.run_id = %(run)s::uuid"
OF_STEP = "t.step_run_id = (SELECT id FROM executions_steprun WHERE run_id = %(run)s::uuid)"
COPIES: dict[str, tuple[str, dict[str, str]]] = {
    "triggers_outboxevent": (
        "t.id = %(event)s::uuid",
        {
            "id": "x.event_id",
            "payload": "jsonb_build_object('id', 'history-' || x.n, 'steps', 1)",
            "body_digest": "NULL",
            "trace_id": "x.trace_id",
        },
    ),
    "executions_run": (
        "t.id = %(run)s::uuid",
        {"id": "x.run_id", "event_id": "x.event_id", "trace_id": "x.trace_id"},
    ),
    "executions_steprun": (OF_RUN, {"id": "x.step_id", "run_id": "x.run_id"}),
    "executions_attempt": (OF_STEP, {"step_run_id": "x.step_id"}),
    "executions_effect": (
        OF_STEP,
        {
            "id": "nextval(pg_get_serial_sequence('executions_effect', 'id'))",
            "scope": "x.run_id",
            "step_run_id": "x.step_id",
            "key": "replace(t.key, %(run)s, x.run_id::text)",
        },
    ),
    "executions_timelineentry": (
        OF_RUN,
        {
            "run_id": "x.run_id",
            "metadata": "CASE WHEN t.metadata ? 'event_id' THEN jsonb_set(t.metadata, '{event_id}', "
            "to_jsonb(x.event_id)) ELSE t.metadata END",
        },
    ),
}


def write(connection: psycopg.Connection[Any], number: int, *, event_id: str) -> None:
    """Copy the finished one-step run of this event so many times, as the superuser.

    Afterwards the tables are vacuumed, analysed and on disk, so that nothing of it is left to do while
    something is measured.
    """
    found = connection.execute(
        "SELECT id::text FROM executions_run WHERE event_id = %s", [event_id]
    ).fetchone()
    assert found is not None
    template = {"event": event_id, "run": found[0]}
    connection.execute("SET session_replication_role = replica")
    connection.execute("SET synchronous_commit = off")
    for first in range(1, number + 1, BATCH):
        ending.check()
        last = min(first + BATCH - 1, number)
        with connection.transaction():
            _write_batch(connection, {**template, "first": first, "last": last})
        if last % TELL_EVERY == 0:
            say(f"{last:,} finished runs written")
    connection.execute("SET session_replication_role = DEFAULT")
    connection.execute(f"VACUUM (ANALYZE) {', '.join(TABLES)}")
    connection.execute("CHECKPOINT")


def _write_batch(connection: psycopg.Connection[Any], params: dict[str, Any]) -> None:
    connection.execute(IDS, params)
    for table, (template, changed) in COPIES.items():
        copies.insert(connection, table, changed, each="ids AS x", template=template, params=params)
    connection.execute("DROP TABLE ids")


def megabytes(connection: psycopg.Connection[Any]) -> dict[str, float]:
    """Size of each table with its indexes and TOAST, in MB (10^6 bytes)."""
    query = (
        "SELECT name, pg_total_relation_size(name::regclass) / 1e6::float8 FROM unnest(%s::text[]) AS name"
    )
    return {name: float(size) for name, size in connection.execute(query, [list(TABLES)]).fetchall()}
