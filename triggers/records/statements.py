"""The SQL that turns changes of records into events. One text, for Django's writes and for the database trigger.

`EVENTS` is the third door of the outbox (the other two are in `triggers.outbox`). It is given what each record was
and what it is now, keeps what really changed, finds the triggers that asked for it, and stores one event for each
of those whose workflow is active. The version is pinned here, as with every capture.
"""

from __future__ import annotations

from functools import cache

from lightfield.kernel.strict_json import MAX_BYTES
from triggers.records.columns import fields_sql, instant_sql, pk_sql, pk_type, table_sql
from triggers.records.watching import Watch

DATABASE_TRIGGER = "lightfield_capture"  # on every watched table, with LIGHTFIELD_CAPTURE=trigger
# Values of a record whose event would be larger than any payload may be are cut to this.
MOST_BYTES = MAX_BYTES * 3 // 4
CUT_BYTES = 4096

# Who may want to know of a change of this entity. Paused workflows are told of too: it is why they did not fire.
SUBSCRIPTIONS = """
  SELECT t.id, t.shard, t.workflow_id, w.active_version_id AS version_id, w.status, t.config ->> 'event' AS event,
         coalesce(t.config -> 'fields', '[]'::jsonb) AS fields
  FROM triggers_trigger t JOIN workflows_workflow w ON w.id = t.workflow_id
  WHERE t.kind = 'record' AND (t.config ->> 'entity') = {entity} AND w.status IN ('active', 'paused')
"""

# From `seen(id, before, fields)`, each a record's id, its fields as they were (NULL: it is new) and as they are.
EVENTS = """
changed AS MATERIALIZED (
  SELECT s.id, s.before IS NULL AS is_new, s.fields, clock_timestamp() AS at,
    coalesce({trace_id}, replace(gen_random_uuid()::text, '-', '')) AS trace_id,
    CASE WHEN s.before IS NOT NULL THEN (
      SELECT jsonb_object_agg(a.key, jsonb_build_object('before', s.before -> a.key, 'after', a.value))
      FROM jsonb_each(s.fields) a WHERE a.key <> ALL({quiet}) AND a.value IS DISTINCT FROM s.before -> a.key) END AS diff
  FROM seen s),
told AS MATERIALIZED (
  SELECT c.id, c.is_new, c.at, c.trace_id, c.diff,
    jsonb_build_object('id', c.id, 'type', {entity}, 'fields', {cut_fields}, 'occurred_at', {occurred_at})
    || CASE WHEN c.diff IS NULL THEN '{{}}'::jsonb ELSE jsonb_build_object('_diff', {cut_diff}) END AS payload
  FROM changed c WHERE c.is_new OR c.diff IS NOT NULL),
subscribed AS MATERIALIZED ({subscriptions}),
added AS (
  INSERT INTO triggers_outboxevent
    (id, trigger_id, workflow_id, version_id, source, payload, shard, trace_id, depth, caused_by, status, tries)
  SELECT uuid_v7(), s.id, s.workflow_id, s.version_id, 'record', t.payload, s.shard, t.trace_id,
         {depth}, {caused_by}, 'pending', 0
  FROM told t JOIN subscribed s ON CASE WHEN t.is_new THEN s.event = 'created'
    ELSE s.event = 'updated' AND (s.fields = '[]'::jsonb
      OR EXISTS (SELECT 1 FROM jsonb_array_elements_text(s.fields) f(name) WHERE t.diff ? f.name)) END
  WHERE s.status = 'active'
  RETURNING trigger_id, shard)
"""

# A value of such a size is a document; the event says how long it is instead.
CUT = """CASE WHEN octet_length(c.fields::text) + coalesce(octet_length(c.diff::text), 0) <= {most} THEN {value}
      ELSE (SELECT jsonb_object_agg(k.key, CASE WHEN octet_length(k.value::text) <= {cut} THEN k.value
              ELSE jsonb_build_object('truncated', true, 'bytes', octet_length(k.value::text)) END)
            FROM jsonb_each({value}) k) END"""


def events_sql(*, trace_id: str, depth: str, caused_by: str, entity: str, quiet: str) -> str:
    """The CTEs from `changed` to `added`; the arguments are SQL expressions."""
    return EVENTS.format(
        trace_id=trace_id,
        depth=depth,
        caused_by=caused_by,
        entity=entity,
        quiet=quiet,
        occurred_at=instant_sql("c.at"),
        cut_fields=CUT.format(value="c.fields", most=MOST_BYTES, cut=CUT_BYTES),
        cut_diff=CUT.format(value="c.diff", most=MOST_BYTES, cut=CUT_BYTES),
        subscriptions=SUBSCRIPTIONS.format(entity=entity),
    )


@cache
def look(watch: Watch) -> str:
    """One row before it is written, under its lock, if anybody watches its updates; and who does.

    The lock is the one that the UPDATE takes itself: rows that refer to it may still be written by others.
    """
    return f"""
SELECT CASE WHEN s.watching IS NOT NULL THEN ({fields_sql(watch, "r")})::text END, s.watching
FROM {table_sql(watch)} r CROSS JOIN ({_watching("updated")}) s
WHERE r.{pk_sql(watch)} = %(pk)s::text::{pk_type(watch)} FOR NO KEY UPDATE OF r
"""


@cache
def who_watches() -> str:
    """The triggers that want to know of updates of an entity, or of new ones: `[[trigger, status, [field, …]], …]`."""
    return f"SELECT s.watching FROM ({_watching('%(event)s')}) s"


@cache
def before_rows(watch: Watch) -> str:
    """Rows, locked, as they are now."""
    return f"""
SELECT r.{pk_sql(watch)}::text, ({fields_sql(watch, "r")})::text FROM {table_sql(watch)} r
WHERE r.{pk_sql(watch)} = ANY(%(pks)s::text[]::{pk_type(watch)}[])
ORDER BY r.{pk_sql(watch)} FOR NO KEY UPDATE OF r
"""


@cache
def store_events(watch: Watch) -> str:
    """Events for rows that were written just now: `pks`, and what each was before as JSON text, NULL where it is new.

    None where the database does it itself: a process of an installation that is being switched over must not double
    them. Answers with one row per event: its trigger and shard.
    """
    events = events_sql(
        trace_id="%(trace_id)s::text",
        depth="%(depth)s::smallint",
        caused_by="%(caused_by)s::uuid",
        entity="%(entity)s::text",
        quiet="%(quiet)s::text[]",
    )
    return f"""
WITH seen AS MATERIALIZED (
  SELECT r.{pk_sql(watch)}::text AS id, g.before::jsonb AS before, {fields_sql(watch, "r")} AS fields
  FROM unnest(%(pks)s::text[], %(befores)s::text[]) AS g(pk, before)
  JOIN {table_sql(watch)} r ON r.{pk_sql(watch)} = g.pk::{pk_type(watch)}
  WHERE NOT EXISTS (SELECT 1 FROM pg_trigger x WHERE x.tgrelid = '{table_sql(watch)}'::regclass
                      AND x.tgname = '{DATABASE_TRIGGER}')),
{events}
SELECT trigger_id, shard FROM added
"""


def _watching(event: str) -> str:
    event = event if event.startswith("%") else f"'{event}'"
    return f"""
  SELECT jsonb_agg(jsonb_build_array(t.id, t.status, t.fields))::text AS watching
  FROM ({SUBSCRIPTIONS.format(entity="%(entity)s::text")}) t WHERE t.event = {event}::text"""
