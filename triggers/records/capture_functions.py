"""The functions by which the database captures changes of one table: LIGHTFIELD_CAPTURE=trigger.

Written for speed: each of them runs inside every save of that table. What PL/pgSQL evaluates it sets up anew in each
transaction, node by node, so that a plain comparison costs a microsecond and a query 20 to 40: hence one function for
new rows and one for changed ones, a comparison for each column and no loop over their names, no JSON of a row before
somebody is found who asked for this change, and no query but the INSERT (`who_asks`).
"""

from __future__ import annotations

from collections.abc import Callable

from triggers.records import modes
from triggers.records.columns import (
    documents_of,
    fields_sql,
    instant_sql,
    is_changed_sql,
    left_fields_sql,
    left_value_sql,
    literal,
    pk_sql,
    types_of,
    value_sql,
)
from triggers.records.statements import MOST_BYTES, UNREADABLE
from triggers.records.watching import AnyField, Watch

_FUNCTION = """
CREATE OR REPLACE FUNCTION {name}() RETURNS trigger {as_owner} AS $lightfield$
DECLARE
  all_asking jsonb := lightfield_who_asks('{entity}', '{event}');
  asking jsonb;
  changed text[] := '{{}}';  -- all of them; `diff` tells of those that are a reason to fire
  diff jsonb := '{{}}';
  after jsonb;
  told jsonb;
  told_cause text[];
  trace text;
  its_depth smallint := 0;
  cause uuid;
  event_id uuid;
  record_id text;
  has_left boolean := false;  -- a column: a migration took it or gave it another type, and the one that follows writes already
BEGIN
  -- {types}
  IF all_asking IS NULL THEN
    RETURN NULL;
  END IF;
  {compared}
  FOR n IN 0 .. jsonb_array_length(all_asking) - 1 LOOP
    asking := all_asking -> n;
    {is_asked}
    IF told IS NULL THEN
      IF right(current_query(), 2) = '*/' THEN
        told_cause := string_to_array(substring(right(current_query(), {by_length}) FROM '{by_pattern}'), ' ');
        IF told_cause[1] = '{loaded}' THEN
          RETURN NULL;
        END IF;
        trace := told_cause[1];
        its_depth := coalesce(told_cause[2], '0');
        cause := told_cause[3];
      END IF;
      {row}
      told := {told};
      IF pg_column_size(told) > {most_bytes}{documents} THEN
        IF pg_column_size(told) > {most_bytes}{unreadable} THEN
          told := lightfield_cut_event(told);
        END IF;
      END IF;
    END IF;
    event_id := {new_id}();
    trace := coalesce(trace, replace(event_id::text, '-', ''));
    INSERT INTO triggers_outboxevent (id, trigger_id, workflow_id, version_id, source, payload, shard, trace_id,
                                      depth, caused_by, status, tries)
    VALUES (event_id, (asking -> 0)::bigint, (asking ->> 2)::uuid, (asking -> 3)::bigint, 'record', told,
            (asking -> 1)::smallint, trace, its_depth, cause, 'pending', 0);
  END LOOP;
  RETURN NULL;
END $lightfield$
"""
_COMPARED = """
  BEGIN
    {changes}
  EXCEPTION WHEN {is_otherwise} THEN
    has_left := true;
    changed := '{{}}';
    diff := '{{}}';
    {left}
  END;
  IF diff = '{{}}' THEN
    RETURN NULL;
  END IF;"""
_TOLD = "jsonb_build_object('id', record_id, 'type', '{entity}', 'fields', after, 'occurred_at', {now}{diff})"
# The table is not as it was when this was written, or when this connection planned it: any error of that class.
_IS_OTHERWISE = "syntax_error_or_access_rule_violation"
# Each block with an EXCEPTION is a transaction inside the transaction, which costs a microsecond. That columns can be
# compared does not say that they can be told: instants are spelled in their own way.
_ROW_MADE = """BEGIN
        after := {after};
        record_id := {record_id};
      EXCEPTION WHEN {is_otherwise} THEN
        after := {left};
        record_id := {left_id};
      END;"""
_ROW_CHANGED = f"""IF has_left THEN
        after := {{left}};
        record_id := {{left_id}};
      ELSE
        {_ROW_MADE}
      END IF;"""
_IS_ASKED = "CONTINUE WHEN NOT (asking -> 4 ?| changed OR asking -> 4 = '[]');"


def capture_created(watch: Watch, name: str, *, as_owner: str, new_id: str) -> str:
    """The function for new rows; whoever asks is told, whatever the fields.

    Args:
        new_id: the database function that makes the id of an event.
    """
    return _function(
        watch, name=name, event="created", as_owner=as_owner, new_id=new_id, compared="", is_asked=""
    )


def capture_updated(watch: Watch, name: str, *, as_owner: str, new_id: str) -> str:
    """The function for changed rows."""
    compared = _COMPARED.format(
        changes=_changes(watch, is_changed_sql, value_sql),
        left=_changes(watch, _is_left_changed, left_value_sql),
        is_otherwise=_IS_OTHERWISE,
    )
    return _function(
        watch,
        name=name,
        event="updated",
        as_owner=as_owner,
        new_id=new_id,
        compared=compared,
        is_asked=_IS_ASKED,
    )


def _function(watch: Watch, *, event: str, **slots: str) -> str:
    """`documents`: some hold something; a quick look. `unreadable`: some cannot be read; a look at all that is in them."""
    documents, unreadable = "", ""
    for name in map(literal, documents_of(watch)):
        now = f"(after -> {name})"
        documents += f" OR {now} NOT IN ('{{}}', 'null')"
        unreadable += f" OR {UNREADABLE.format(now)}"
        if event == "updated":
            documents += f" OR diff ? {name}"
            unreadable += " OR coalesce(" + UNREADABLE.format(f"(diff -> {name} -> 'before')") + ", false)"
    return _FUNCTION.format(
        entity=watch.entity,
        event=event,
        row=(_ROW_CHANGED if event == "updated" else _ROW_MADE).format(
            after=fields_sql(watch, "NEW"),
            left=left_fields_sql(watch, "NEW"),
            record_id=f"NEW.{pk_sql(watch)}::text",
            left_id=_left_id(watch),
            is_otherwise=_IS_OTHERWISE,
        ),
        told=_TOLD.format(
            entity=watch.entity,
            now=instant_sql("clock_timestamp()", may_be_infinite=False),
            diff=", '_diff', diff" if event == "updated" else "",
        ),
        documents=documents,
        unreadable=unreadable,
        types=types_of(watch),
        most_bytes=MOST_BYTES,
        by_length=modes.BY_LENGTH,
        by_pattern=modes.BY_PATTERN,
        loaded=modes.LOADED,
        **slots,
    )


def _changes(
    watch: Watch, is_changed: Callable[[AnyField], str], value: Callable[[AnyField, str], str]
) -> str:
    """One IF for each field: what is in it is set up only where the field did change."""
    steps = []
    for name, field in watch.fields.items():
        spelled = literal(name)
        told = f"jsonb_build_object('before', {value(field, 'OLD')}, 'after', {value(field, 'NEW')})"
        is_told = name not in watch.quiet
        steps.append(
            f"IF {is_changed(field)} THEN changed := array_append(changed, {spelled}); "
            + (f"diff := diff || jsonb_build_object({spelled}, {told}); " if is_told else "")
            + "END IF;"
        )
    return "\n    ".join(steps)


def _left_id(watch: Watch) -> str:
    return f"to_jsonb(NEW) ->> {literal(str(watch.pk.column))}"


def _is_left_changed(field: AnyField) -> str:
    return f"{left_value_sql(field, 'OLD')} IS DISTINCT FROM {left_value_sql(field, 'NEW')}"
