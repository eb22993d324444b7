"""The functions by which the database captures changes of one table: LIGHTFIELD_CAPTURE=trigger.

Written for speed: each of them runs inside every save of that table. What PL/pgSQL evaluates it sets up anew in each
transaction, node by node, so that a plain comparison costs a microsecond and a query 20 to 40: hence one function for
new rows and one for changed ones, a comparison for each column and no loop over their names, no JSON of a row before
somebody is found who asked for this change, that JSON in one piece, and no query but the INSERT (`who_asks`).
"""

from __future__ import annotations

from collections.abc import Callable

from triggers.records import modes
from triggers.records.columns import (
    documents_of,
    instant_sql,
    is_changed_sql,
    is_doubtful_sql,
    left_fields_sql,
    left_value_sql,
    literal,
    pk_text_sql,
    row_sql,
    types_of,
    value_sql,
)
from triggers.records.statements import MOST_BYTES, UNREADABLE
from triggers.records.watching import AnyField, Watch

_FUNCTION = """
CREATE OR REPLACE FUNCTION {name}() RETURNS trigger {as_owner} AS $lightfield$
DECLARE
  askers lightfield_asker[] := lightfield_askers('{entity}', '{event}');
  asker lightfield_asker;
  asked lightfield_asker[];  -- those who asked for this change
  diff jsonb{nothing};
  told jsonb;
  is_doubtful boolean;  -- there may be in it what nobody could read. Values to begin with cost a microsecond each
  told_cause text[];
  trace text;
  its_depth smallint;
  cause uuid;
  event_id uuid;
BEGIN
  -- {types}
  IF askers IS NULL THEN
    RETURN NULL;
  END IF;
  BEGIN
    {heard}
  EXCEPTION WHEN {is_otherwise} THEN
    {heard_otherwise}
  END;
  IF told IS NULL THEN
    RETURN NULL;
  END IF;
  IF starts_with(current_query(), '{by_begins}') THEN
    told_cause := string_to_array(substring(left(current_query(), {by_length}) FROM '{by_pattern}'), ' ');
    IF told_cause[1] = '{loaded}' THEN
      RETURN NULL;
    END IF;
    trace := told_cause[1];
    its_depth := told_cause[2];
    cause := told_cause[3];
  END IF;
  IF is_doubtful OR pg_column_size(told) > {most_bytes} THEN
    IF pg_column_size(told) > {most_bytes}{unreadable} THEN
      told := lightfield_cut_event(told);
    END IF;
  END IF;
  FOREACH asker IN ARRAY {those} LOOP
    event_id := {new_id}();
    trace := coalesce(trace, encode(uuid_send(event_id), 'hex'));
    INSERT INTO triggers_outboxevent (id, trigger_id, workflow_id, version_id, source, payload, shard, trace_id,
                                      depth, caused_by, status, tries)
    VALUES (event_id, asker.trigger_id, asker.workflow_id, asker.version_id, 'record', told, asker.shard, trace,
            coalesce(its_depth, 0), cause, 'pending', 0);
  END LOOP;
  RETURN NULL;
END $lightfield$
"""
_HEARD_CHANGED = """{changes}
    IF diff <> '{{}}' THEN
      FOREACH asker IN ARRAY askers LOOP
        CONTINUE WHEN NOT (asker.fields = '{{}}' OR diff ?| asker.fields);
        asked := array_append(asked, asker);
      END LOOP;
      IF asked IS NOT NULL THEN
        {told}
      END IF;
    END IF;"""
_BEGIN_ANEW = """diff := '{}';
    asked := NULL;
    """
_TOLD = "told := jsonb_build_object('id', {id}, 'type', '{entity}', 'fields', {fields}, 'occurred_at', {now}{diff});"
# The table is not as it was when this was written, or when this connection planned it: any error of that class. A migration
# took a column or gave it another type, and the one that follows writes already. A block with an EXCEPTION is a transaction
# inside the transaction, which costs two microseconds; hence one.
_IS_OTHERWISE = "syntax_error_or_access_rule_violation"


def capture_created(watch: Watch, name: str, *, as_owner: str, new_id: str) -> str:
    """The function for new rows; whoever asks is told, whatever the fields.

    Args:
        new_id: the database function that makes the id of an event.
    """
    return _function(
        watch,
        name=name,
        event="created",
        as_owner=as_owner,
        new_id=new_id,
        those="askers",
        nothing="",
        heard=_told(watch),
        heard_otherwise=_left_told(watch),
    )


def capture_updated(watch: Watch, name: str, *, as_owner: str, new_id: str) -> str:
    """The function for changed rows."""
    heard = _HEARD_CHANGED.format(
        changes=_changes(watch, is_changed_sql, value_sql),
        told=_told(watch, diff=", '_diff', diff"),
    )
    otherwise = _HEARD_CHANGED.format(
        changes=_changes(watch, _is_left_changed, left_value_sql),
        told=_left_told(watch, diff=", '_diff', diff"),
    )
    return _function(
        watch,
        name=name,
        event="updated",
        as_owner=as_owner,
        new_id=new_id,
        those="asked",
        nothing=" := '{}'",
        heard=heard,
        heard_otherwise=_BEGIN_ANEW + otherwise,
    )


def _function(watch: Watch, *, event: str, **slots: str) -> str:
    unreadable = ""
    for name in map(literal, documents_of(watch)):
        unreadable += " OR " + UNREADABLE.format(f"(told #> ARRAY['fields', {name}])")
        if event == "updated":
            unreadable += " OR coalesce(" + UNREADABLE.format(f"(diff -> {name} -> 'before')") + ", false)"
    return _FUNCTION.format(
        entity=watch.entity,
        event=event,
        unreadable=unreadable,
        types=types_of(watch),
        most_bytes=MOST_BYTES,
        by_begins=modes.BY_BEGINS,
        by_length=modes.BY_LENGTH,
        by_pattern=modes.BY_PATTERN,
        loaded=modes.LOADED,
        is_otherwise=_IS_OTHERWISE,
        **slots,
    )


def _told(watch: Watch, diff: str = "") -> str:
    told = _TOLD.format(
        id=pk_text_sql(watch, "NEW"), entity=watch.entity, fields=row_sql(watch, "NEW"), now=_NOW, diff=diff
    )
    doubts = " OR ".join(is_doubtful_sql(watch.fields[name], "NEW") for name in documents_of(watch))
    return told + (f"\n    IF {doubts} THEN is_doubtful := true; END IF;" if doubts else "")


def _left_told(watch: Watch, diff: str = "") -> str:
    return (
        _TOLD.format(
            id=f"to_jsonb(NEW) ->> {literal(str(watch.pk.column))}",
            entity=watch.entity,
            fields=left_fields_sql(watch, "NEW"),
            now=_NOW,
            diff=diff,
        )
        + " is_doubtful := true;"
    )


_NOW = instant_sql("clock_timestamp()", may_be_infinite=False)


def _changes(
    watch: Watch, is_changed: Callable[[AnyField], str], value: Callable[[AnyField, str], str]
) -> str:
    """One IF for each field that is told: what is in it is set up only where the field did change."""
    steps, documents = [], documents_of(watch)
    for name, field in watch.fields.items():
        if name in watch.quiet:
            continue
        spelled = literal(name)
        told = f"jsonb_build_object('before', {value(field, 'OLD')}, 'after', {value(field, 'NEW')})"
        doubts = "is_doubtful := true; " if name in documents else ""
        steps.append(
            f"IF {is_changed(field)} THEN diff := diff || jsonb_build_object({spelled}, {told}); {doubts}END IF;"
        )
    return "\n    ".join(steps)


def _is_left_changed(field: AnyField) -> str:
    return f"{left_value_sql(field, 'OLD')} IS DISTINCT FROM {left_value_sql(field, 'NEW')}"
