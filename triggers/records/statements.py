"""The SQL that turns changes that Django makes into events.

The function `tell` is the outbox's door for them; where the database captures by itself it has one of its own
(`capture_functions`), which tells the same. All other doors are in `triggers.outbox`. It is given what a record was and what it is now, finds the triggers that asked
for such a change, and stores one event for each of them. The version is pinned here, as with every capture.
"""

from __future__ import annotations

from functools import cache

from lightfield.kernel.strict_json import MAX_BYTES, MAX_DEPTH, MAX_EXPONENT
from triggers.records.columns import (
    documents_sql,
    fields_sql,
    instant_sql,
    literal,
    names_sql,
    pk_sql,
    pk_type,
    table_sql,
)
from triggers.records.watching import Watch

DATABASE_TRIGGER = "lightfield_capture"  # on every watched table, with LIGHTFIELD_CAPTURE=trigger
# Values in an event that would be larger than any payload may be: above this they are cut.
MOST_BYTES = MAX_BYTES * 3 // 4
CUT_BYTES = 4096

# Who may want to know of a change of this entity. Paused workflows are told of too: it is why they did not fire.
SUBSCRIPTIONS = """
  SELECT t.id, w.status, coalesce(t.config -> 'fields', '[]'::jsonb) AS fields
  FROM triggers_trigger t JOIN workflows_workflow w ON w.id = t.workflow_id
  WHERE t.kind = 'record' AND (t.config ->> 'entity') = %(entity)s::text
    AND (t.config ->> 'event') = %(event)s::text AND w.status IN ('active', 'paused')
"""

# A document that raw SQL wrote may hold what no reader of the event could read: numbers that no float holds, and nests
# deeper than Python follows. (Twice as deep as what the API takes is no trouble yet.) The depth first: looking through all of
# a nest as deep as jsonb takes goes beyond PostgreSQL's stack.
UNREADABLE = (
    f"(jsonb_path_exists({{0}}, '$.**{{{{{2 * MAX_DEPTH} to last}}}}')"
    f" OR jsonb_path_exists({{0}}, '$.** ? (@ > 1e{MAX_EXPONENT} || @ < -1e{MAX_EXPONENT})'))"
)


def tell(*, new_id: str) -> str:
    """The function for Django's writers: one change becomes events, one for each trigger that asked for it.

    It is given the record as it was (null for a new one) and as it is, objects of the watched fields; `names`, those whose
    change is told, so without fields that change with every save; `documents`, those that may hold what cannot be read; and
    the cause. It returns [[trigger, shard], …], one for each event; -1 is the shard of triggers that asked while their
    workflow was paused; null for none.

    The database's own functions tell the same (`capture_functions`). In steps and not as one statement: what is not asked
    for is not worked out. A plain expression takes a microsecond or less, a query 20 to 40 before it has found anything: so
    the diff is a loop.
    """
    return f"""
CREATE OR REPLACE FUNCTION lightfield_tell(of_entity text, record_id text, before jsonb, after jsonb, names text[],
  documents text[], trace text, its_depth smallint, cause uuid)
RETURNS bigint[] LANGUAGE plpgsql AS $lightfield$
DECLARE
  of_event text := CASE WHEN before IS NULL THEN 'created' ELSE 'updated' END;
  stored bigint[];
  asking record; is_asked_for boolean; name text; diff jsonb; told jsonb; happened text; event_id uuid; must_cut boolean;
BEGIN
  FOR asking IN
    SELECT t.id, t.shard, t.workflow_id, w.active_version_id, w.status, coalesce(t.config -> 'fields', '[]') AS fields
    FROM triggers_trigger t JOIN workflows_workflow w ON w.id = t.workflow_id
    WHERE t.kind = 'record' AND (t.config ->> 'entity') = of_entity AND w.status IN ('active', 'paused')
      AND (t.config ->> 'event') = of_event
  LOOP
    is_asked_for := before IS NULL OR asking.fields = '[]';
    FOR n IN 1 .. jsonb_array_length(asking.fields) LOOP
      EXIT WHEN is_asked_for;
      is_asked_for := after -> (asking.fields ->> (n - 1)) IS DISTINCT FROM before -> (asking.fields ->> (n - 1));
    END LOOP;
    CONTINUE WHEN NOT is_asked_for;
    IF told IS NULL THEN
      happened := {instant_sql("clock_timestamp()")};
      IF before IS NULL THEN
        told := jsonb_build_object('id', record_id, 'type', of_entity, 'fields', after, 'occurred_at', happened);
      ELSE
        diff := '{{}}';
        FOREACH name IN ARRAY names LOOP
          IF after -> name IS DISTINCT FROM before -> name THEN
            diff := diff || jsonb_build_object(name, jsonb_build_object('before', before -> name, 'after', after -> name));
          END IF;
        END LOOP;
        EXIT WHEN diff = '{{}}';
        told := jsonb_build_object('id', record_id, 'type', of_entity, 'fields', after, 'occurred_at', happened,
                                   '_diff', diff);
      END IF;
      must_cut := pg_column_size(told) > {MOST_BYTES};
      FOREACH name IN ARRAY documents LOOP
        EXIT WHEN must_cut;
        must_cut := after -> name NOT IN ('{{}}', 'null') AND {UNREADABLE.format("(after -> name)")}
          OR coalesce(before -> name NOT IN ('{{}}', 'null') AND {UNREADABLE.format("(before -> name)")}, false);
      END LOOP;
      IF must_cut THEN
        told := lightfield_cut_event(told);
      END IF;
    END IF;
    IF asking.status = 'paused' THEN
      stored := stored || ARRAY[[asking.id, -1]];
      CONTINUE;
    END IF;
    event_id := {new_id}();
    trace := coalesce(trace, replace(event_id::text, '-', ''));
    INSERT INTO triggers_outboxevent (id, trigger_id, workflow_id, version_id, source, payload, shard, trace_id,
                                      depth, caused_by, status, tries)
    VALUES (event_id, asking.id, asking.workflow_id, asking.active_version_id, 'record', told, asking.shard, trace,
            its_depth, cause, 'pending', 0);
    stored := stored || ARRAY[[asking.id, asking.shard]];
  END LOOP;
  RETURN stored;
END $lightfield$
"""


# A value of such a size is a document; the event says how long it is instead. A table of very many columns may need more.
CUT = f"""
CREATE OR REPLACE FUNCTION lightfield_cut_event(told jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $lightfield$
DECLARE
  most int := {CUT_BYTES};
BEGIN
  LOOP
    told := told || jsonb_build_object('fields', lightfield_cut_values(told -> 'fields', most));
    IF told ? '_diff' THEN
      told := told || jsonb_build_object('_diff', (
        SELECT jsonb_object_agg(k.key, lightfield_cut_values(k.value, most)) FROM jsonb_each(told -> '_diff') k));
    END IF;
    EXIT WHEN pg_column_size(told) <= {MOST_BYTES} OR most < 64;
    most := most / 4;
  END LOOP;
  RETURN told;
END $lightfield$
"""

CUT_VALUES = f"""
CREATE OR REPLACE FUNCTION lightfield_cut_values(whole jsonb, most int) RETURNS jsonb LANGUAGE sql IMMUTABLE
AS $lightfield$
  SELECT coalesce(jsonb_object_agg(k.key, CASE
      WHEN pg_column_size(k.value) > most OR {UNREADABLE.format("k.value")}
      THEN jsonb_build_object('truncated', true, 'bytes', octet_length(k.value::text))
      ELSE k.value END), '{{}}') FROM jsonb_each(whole) k
$lightfield$
"""


# Whether a table has triggers of the project's own. Part of the statements, which keep their plans: a function would
# set its query up anew in each transaction.
IS_REWRITTEN = """EXISTS (SELECT FROM pg_trigger x WHERE x.tgrelid = {0}::regclass AND NOT x.tgisinternal
      AND x.tgenabled <> 'D' AND x.tgtype & 16 <> 0 AND NOT starts_with(x.tgname, 'lightfield_'))"""


@cache
def look(watch: Watch) -> str:
    """One row before it is written, under its lock, if anybody watches its updates; and who does.

    The lock is the one that the UPDATE takes itself: rows that refer to it may still be written by others.
    """
    return f"""
SELECT CASE WHEN s.watching IS NOT NULL THEN ({fields_sql(watch, "r")})::text END, s.watching, s.is_rewritten
FROM {table_sql(watch)} r CROSS JOIN ({_watching(watch)}) s
WHERE r.{pk_sql(watch)} = %(pk)s::text::{pk_type(watch)} FOR NO KEY UPDATE OF r
"""


@cache
def who_watches(watch: Watch) -> str:
    """The triggers that want to know of updates of an entity, or of new ones: `[[trigger, status, [field, …]], …]`."""
    return _watching(watch)


@cache
def before_rows(watch: Watch) -> str:
    """Rows, locked, as they are now."""
    return f"""
SELECT r.{pk_sql(watch)}::text, ({fields_sql(watch, "r")})::text FROM {table_sql(watch)} r
WHERE r.{pk_sql(watch)} = ANY(%(pks)s::text[]::{pk_type(watch)}[])
ORDER BY r.{pk_sql(watch)} FOR NO KEY UPDATE OF r
"""


@cache
def store_event(watch: Watch) -> str:
    """Events for one row that was written just now: `pk`, and what it was `before` as JSON text, NULL if it is new.

    Answers as `store_events` does. A statement of its own, since it is what a save sends: lists cost the client more
    than all else, and each quote in a list of JSON texts would be escaped.
    """
    return f"""
SELECT r.{pk_sql(watch)}::text, {_told(watch, "%(before)s::text::jsonb")}
FROM {table_sql(watch)} r WHERE r.{pk_sql(watch)} = %(pk)s::text::{pk_type(watch)} AND {_not_by_database(watch)}
"""


@cache
def store_events(watch: Watch) -> str:
    """The same for many rows: `pks` and `befores`. Answers with one row for each: its key, and [[trigger, shard], …] or null."""
    return f"""
SELECT g.pk, {_told(watch, "g.before::jsonb")}
FROM unnest(%(pks)s::text[], %(befores)s::text[]) AS g(pk, before)
JOIN {table_sql(watch)} r ON r.{pk_sql(watch)} = g.pk::{pk_type(watch)} WHERE {_not_by_database(watch)}
"""


def _told(watch: Watch, before: str) -> str:
    return f"""lightfield_tell('{watch.entity}', r.{pk_sql(watch)}::text, {before}, {fields_sql(watch, "r")},
  {names_sql(watch)}, {documents_sql(watch)}, %(trace_id)s::text, %(depth)s::smallint, %(caused_by)s::uuid)"""


def _not_by_database(watch: Watch) -> str:
    """None where the database does it itself: a process of an installation that is being switched over must not double."""
    return f"""NOT EXISTS (SELECT 1 FROM pg_trigger x WHERE x.tgrelid = {literal(table_sql(watch))}::regclass
                      AND x.tgname = '{DATABASE_TRIGGER}')"""


def _watching(watch: Watch) -> str:
    """`is_rewritten`: the project has triggers of its own on the table, which may change what an UPDATE does not."""
    return f"""
  SELECT jsonb_agg(jsonb_build_array(t.id, t.status, t.fields))::text AS watching,
    CASE WHEN count(*) > 0 THEN {IS_REWRITTEN.format(literal(table_sql(watch)))} END AS is_rewritten
  FROM ({SUBSCRIPTIONS}) t"""
