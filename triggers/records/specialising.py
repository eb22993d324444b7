"""The functions that capture, made for who asks: whenever that is somebody else, the database makes them anew.

What nobody asked for is not looked at: of a changed row first the fields that somebody named, and the others only if one of
those changed. What one trigger stores is an INSERT of constants. The pieces come from `capture_functions`.
"""

from __future__ import annotations

from typing import Final

from triggers.records.columns import literal
from triggers.records.statements import DATABASE_TRIGGER

STUB: Final = (
    "CREATE FUNCTION {name}() RETURNS trigger {as_owner} AS 'BEGIN RETURN NULL; END'"  # until it is compiled
)
NOBODY: Final = "BEGIN RETURN NULL; END"
TEMPLATE: Final = "_template"  # after the name of the function that it is for

# The body of one function. `diff` is null as long as nothing has changed. Where the fields that were named have, and NEW is
# in all else what OLD was, byte for byte, no other is compared: one function for them all, not an expression for each.
BODY: Final = """
CREATE OR REPLACE FUNCTION lightfield_capture_body(template jsonb, askers lightfield_asker[]) RETURNS text
LANGUAGE plpgsql AS $lightfield$
DECLARE
  is_any boolean := EXISTS (SELECT FROM unnest(askers) a WHERE a.fields = '{{}}');  -- somebody asks for every change
  named text[] := ARRAY(SELECT DISTINCT n FROM unnest(askers) a, unnest(a.fields) n);
  body jsonb := template -> 'body';
  heard text := '';
  unheard text := '';
  stored text;
  asked record;
BEGIN
  IF askers IS NULL THEN
    RETURN '{nobody}';
  END IF;
  IF template ->> 'event' = 'updated' THEN
    SELECT count(*) FILTER (WHERE is_named) AS fields, string_agg(is_changed, ' OR ' ORDER BY n) FILTER (WHERE is_named) AS any_of,
      string_agg(told, E'\\n    ' ORDER BY n) AS every, string_agg(told, E'\\n    ' ORDER BY n) FILTER (WHERE is_named) AS these,
      string_agg(told, E'\\n      ' ORDER BY n) FILTER (WHERE NOT is_named) AS others,
      string_agg(format('diff := %s; %s', change, doubts), '') FILTER (WHERE is_named) AS this,
      string_agg(level, ' ' ORDER BY n) FILTER (WHERE is_named) AS levels
    INTO asked FROM (
      SELECT f.*, f.name = ANY (named) AS is_named,
        format('IF %s THEN diff := coalesce(diff, ''{{}}'') || %s; %s END IF;', is_changed, change, doubts) AS told
      FROM ROWS FROM (jsonb_to_recordset(template -> 'fields')
        AS (name text, is_changed text, change text, doubts text, level text)) WITH ORDINALITY
        AS f(name, is_changed, change, doubts, level, n)) f;
    IF is_any THEN
      heard := asked.every || E'\\n    IF diff IS NULL THEN\\n      RETURN NULL;\\n    END IF;';
      unheard := E'\\n    IF diff IS NULL THEN\\n      RETURN NULL;\\n    END IF;';
    ELSIF asked.fields > 0 THEN
      heard := format(E'IF NOT (%s) THEN\\n      RETURN NULL;\\n    END IF;\\n    ', asked.any_of)
        || CASE WHEN asked.fields = 1 THEN asked.this ELSE asked.these END
        || coalesce(format(E'\\n    was := OLD;\\n    %s %s\\n    IF was *<> NEW THEN\\n      %s\\n    END IF;',
                           asked.levels, template ->> 'levels', asked.others), '');
      unheard := format(E'\\n    IF diff IS NULL OR NOT diff ?| %L THEN\\n      RETURN NULL;\\n    END IF;', named);
    END IF;
  END IF;
  IF template ->> 'event' = 'updated' AND heard = '' THEN
    RETURN '{nobody}';  -- they ask for fields that are no longer told
  END IF;
  IF cardinality(askers) = 1 THEN
    stored := format($$event_id := {new_id};
  {insert};$$, askers[1].trigger_id, askers[1].workflow_id, askers[1].version_id, askers[1].shard,
      'coalesce(trace, event_id)');
  ELSE
    stored := format($$DECLARE
    asker lightfield_asker;
  BEGIN
    FOREACH asker IN ARRAY %L::lightfield_asker[] LOOP
      %s
      event_id := {new_id};
      trace := coalesce(trace, event_id);
      {insert_of_asker};
    END LOOP;
  END;$$, askers, CASE WHEN template ->> 'event' = 'updated'
      THEN $$CONTINUE WHEN NOT (asker.fields = '{{}}' OR diff ?| asker.fields);$$ END);
  END IF;
  RETURN concat(body ->> 0, heard, body ->> 1, unheard, body ->> 2, stored, body ->> 3);
END $lightfield$
"""
_INSERT: Final = """INSERT INTO triggers_outboxevent (id, trigger_id, workflow_id, version_id, source, payload, shard, trace_id,
    depth, caused_by, status, tries)
  VALUES (event_id::uuid, {trigger}, {workflow}, {version}, 'record', told, {shard}, {trace}, coalesce(its_depth, 0), cause,
    'pending', 0)"""

# Those that are otherwise than who asks would have them, and how they should be. Ours only: whoever publishes calls their
# templates with our rights, and other roles may have functions and triggers of any name.
OTHERWISE: Final = f"""
  SELECT p.name, p.body FROM (
    SELECT f.name, f.prosrc, lightfield_capture_body(t.template, lightfield_askers(t.template ->> 'entity', t.template ->> 'event'))
      AS body
    FROM (
      SELECT DISTINCT p.proname AS name, p.prosrc FROM pg_trigger x JOIN pg_proc p ON p.oid = x.tgfoid
      JOIN pg_proc t ON t.oid = to_regprocedure(quote_ident(p.proname || '{TEMPLATE}') || '()') AND t.proowner = p.proowner
      JOIN pg_proc c ON c.oid = to_regprocedure('lightfield_compile_captures()') AND c.proowner = p.proowner
      WHERE x.tgname IN ('{DATABASE_TRIGGER}', '{DATABASE_TRIGGER}_new') AND pg_function_is_visible(p.oid)) f
    CROSS JOIN LATERAL (SELECT lightfield_template(f.name) AS template) t
  ) p WHERE p.body <> p.prosrc ORDER BY p.name"""

COMPILE: Final = f"""
CREATE OR REPLACE FUNCTION lightfield_compile_captures() RETURNS void {{as_owner}} AS $lightfield$
DECLARE
  one record;
BEGIN
  FOR one IN {OTHERWISE} LOOP
    EXECUTE format('CREATE OR REPLACE FUNCTION %I() RETURNS trigger %s AS %L', one.name, {{quoted_as_owner}}, one.body);
  END LOOP;
END $lightfield$
"""
COMPILE_NOW: Final = "SELECT lightfield_compile_captures()"
IS_MISSING: Final = (
    "SELECT to_regprocedure('lightfield_compile_captures()') IS NULL"  # this release was not migrated to yet
)
IS_STALE: Final = f"SELECT EXISTS ({OTHERWISE})"

TEMPLATE_OF: Final = """
CREATE OR REPLACE FUNCTION lightfield_template(name text, OUT template jsonb) LANGUAGE plpgsql AS $lightfield$
BEGIN
  EXECUTE format('SELECT %I()', name || '{suffix}') INTO template;
END $lightfield$
"""


def functions(*, as_owner: str, new_id: str) -> list[str]:
    """CREATE FUNCTION of what makes them. Calls `lightfield_askers`, so after that is there.

    Args:
        as_owner: what stands in such a function before its body.
        new_id: an expression that makes the id of an event, as 32 hex digits.
    """
    insert = _INSERT.format(trigger="%L", workflow="%L", version="%L", shard="%L", trace="%s")
    of_asker = {name: f"asker.{name}_id" for name in ("trigger", "workflow", "version")}
    insert_of_asker = _INSERT.format(**of_asker, shard="asker.shard", trace="trace")
    return [
        TEMPLATE_OF.format(suffix=TEMPLATE),
        BODY.format(nobody=NOBODY, new_id=new_id, insert=insert, insert_of_asker=insert_of_asker),
        COMPILE.format(as_owner=as_owner, quoted_as_owner=literal(as_owner)),
    ]
