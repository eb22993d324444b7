"""Who asks for which changes, compiled into the database: for the triggers that capture by themselves.

A query finds out in 30 microseconds, of the 200 that a captured change may cost. Who asks changes when somebody publishes,
pauses or archives. So the answer stands in a function as a constant, and from it the functions that capture are made
(`specialising`). Whatever changes the rows that it comes from compiles both anew, in the same transaction: the rows remain
the truth. PostgreSQL tells every session at its next transaction, mostly at its next statement, and drops what it planned.
"""

from __future__ import annotations

from typing import Final

# One of those who ask: a row and not JSON, for PL/pgSQL reads it without an expression where several ask.
ASKER: Final = """
DO $lightfield$ BEGIN
  IF to_regtype('lightfield_asker') IS NULL THEN
    CREATE TYPE lightfield_asker AS (trigger_id bigint, shard smallint, workflow_id uuid, version_id bigint, fields text[]);
  END IF;
END $lightfield$
"""
# Null where nobody asks.
_SOURCE: Final = """'SELECT ' || coalesce('CASE ' || (
      SELECT string_agg(format('WHEN entity = %L AND event = %L THEN %L::lightfield_asker[]', a.entity, a.event, a.askers),
                        ' ' ORDER BY a.entity, a.event)
      FROM (
        SELECT t.config ->> 'entity' AS entity, t.config ->> 'event' AS event,
          array_agg(ROW(t.id, t.shard, t.workflow_id, w.active_version_id, ARRAY(
            SELECT jsonb_array_elements_text(coalesce(t.config -> 'fields', '[]'))))::lightfield_asker ORDER BY t.id) AS askers
        FROM triggers_trigger t JOIN workflows_workflow w ON w.id = t.workflow_id
        WHERE t.kind = 'record' AND w.status = 'active' AND t.config ->> 'entity' IS NOT NULL
          AND t.config ->> 'event' IS NOT NULL
        GROUP BY 1, 2) a) || ' END', 'NULL::lightfield_asker[]')"""
_STORED: Final = "(SELECT prosrc FROM pg_proc WHERE oid = to_regprocedure('lightfield_askers(text, text)'))"

# Who finds nothing to change need not wait for others: what they change they compile themselves. Who does waits for
# them, and looks again at what they left.
COMPILE: Final = f"""
CREATE OR REPLACE FUNCTION lightfield_compile_who_asks() RETURNS void {{as_owner}} AS $lightfield$
BEGIN
  IF {_SOURCE} IS NOT DISTINCT FROM {_STORED} THEN
    RETURN;
  END IF;
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'who asks for which changes cannot be compiled in a transaction that does not see what others commit'
      USING ERRCODE = 'feature_not_supported', HINT = 'Publish, pause, resume and archive in READ COMMITTED.';
  END IF;
  PERFORM pg_advisory_xact_lock({{lock}});
  EXECUTE format('CREATE OR REPLACE FUNCTION lightfield_askers(entity text, event text) RETURNS lightfield_asker[] '
                 'LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L', {_SOURCE});
  REVOKE EXECUTE ON FUNCTION lightfield_askers(text, text) FROM PUBLIC;
  PERFORM lightfield_compile_captures();
END $lightfield$
"""
COMPILE_NOW: Final = "SELECT lightfield_compile_who_asks()"
LOCK_NOW: Final = "SELECT pg_advisory_xact_lock({lock})"
IS_STALE: Final = f"SELECT {_SOURCE} IS DISTINCT FROM {_STORED}"

RECOMPILE: Final = """
CREATE OR REPLACE FUNCTION lightfield_recompile_who_asks() RETURNS trigger {as_owner} AS $lightfield$
BEGIN
  PERFORM lightfield_compile_who_asks();
  RETURN NULL;
END $lightfield$
"""
LOCK: Final = 0x4C465741  # "LFWA"; the space of advisory locks is the database's

# By statement: a publication changes one row of each, and a TRUNCATE has no rows.
TABLES: Final = {
    "triggers_trigger": "INSERT OR UPDATE OF kind, config, shard, workflow_id OR DELETE",
    "workflows_workflow": "UPDATE OF status, active_version_id OR DELETE",
}


def triggers_on(table: str) -> dict[str, str]:
    """CREATE TRIGGER by name: what compiles anew when the rows of this table change."""
    on = f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION lightfield_recompile_who_asks()"
    return {
        "lightfield_who_asks": f"CREATE TRIGGER lightfield_who_asks AFTER {TABLES[table]} {on}",
        "lightfield_who_asks_none": f"CREATE TRIGGER lightfield_who_asks_none AFTER TRUNCATE {on}",
    }
