"""What PostgreSQL knows of the size of our tables, while they are young.

The engine's statements are planned once (ADR 0012), by the size a table has then. Autovacuum comes once a minute; on a
new installation a flood of events can be over by then, each of its statements planned for sixty rows and run on
thousands. So a table that has grown tenfold since it was last analyzed is analyzed by the sweep, which makes
PostgreSQL plan anew whatever reads it. That happens a handful of times in the life of a table.
"""

from __future__ import annotations

from lightfield.kernel import sql

TABLES = (
    "triggers_outboxevent",
    "executions_run",
    "executions_steprun",
    "executions_attempt",
    "executions_effect",
    "executions_timelineentry",
    "executions_notice",
)
FEWEST_PAGES = 200  # below that any plan will do

OUTGROWN = """
SELECT c.relname FROM pg_class c
WHERE c.oid = ANY(%(tables)s::text[]::regclass[]) AND pg_has_role(c.relowner, 'USAGE')  -- else it may not analyze
  AND pg_relation_size(c.oid) > greatest(10 * c.relpages, %(fewest)s::int)::bigint * current_setting('block_size')::int
"""


def refresh() -> list[str]:
    """Analyze the tables that have outgrown what is known of them, if they are ours; their names.

    Who comes second gets a warning from PostgreSQL and changes nothing.
    """
    outgrown = [
        str(found[0]) for found in sql.rows(OUTGROWN, {"tables": list(TABLES), "fewest": FEWEST_PAGES})
    ]
    for table in outgrown:
        sql.rows(f"ANALYZE (SKIP_LOCKED) {table}", {})
    return outgrown
