"""The functions by which the database captures changes of one table: LIGHTFIELD_CAPTURE=trigger.

Written for speed: each of them runs inside every save of that table. What PL/pgSQL evaluates it sets up anew in each
transaction, node by node, so that a plain comparison costs a microsecond and a query 20 to 40. Hence one function for
new rows and one for changed ones, and in it only what those who ask for changes now need: here are its pieces, which the
database puts together whenever that is somebody else (`specialising`).
"""

from __future__ import annotations

import json
from typing import Any

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
    quoted,
    row_sql,
    told_change_sql,
    types_of,
)
from triggers.records.statements import MOST_BYTES, UNREADABLE
from triggers.records.watching import AnyField, Watch

# The function's body is these four, and between them what depends on who asks: whether it was asked for, the same where
# the table is not as it was, and what is stored.
_BEGINS = """
DECLARE
  told jsonb;{declared}
  is_special boolean;  -- it is large, may hold what nobody could read, or was caused. Values to begin with cost a microsecond
  told_cause text[];
  trace text;
  its_depth smallint;
  cause uuid;
  event_id text;  -- hex digits
BEGIN
  -- {types}
  BEGIN
    """
_TELLS = """
    {told}
    is_special := {is_special};
  EXCEPTION WHEN {is_otherwise} THEN
    {left_changes}"""
_TELLS_LEFT = """
    {left_told}
    is_special := true;
  END;
  IF is_special THEN
    IF starts_with(current_query(), '{by_begins}') THEN
      told_cause := string_to_array(substring(left(current_query(), {by_length}) FROM '{by_pattern}'), ' ');
      IF told_cause[1] = '{loaded}' THEN
        RETURN NULL;
      END IF;
      trace := told_cause[1];
      its_depth := told_cause[2];
      cause := told_cause[3];
    END IF;
    IF pg_column_size(told) > {most_bytes}{unreadable} THEN
      told := lightfield_cut_event(told);
    END IF;
  END IF;
  """
_ENDS = """
  RETURN NULL;
END"""
_TOLD = "told := jsonb_build_object('id', {id}, 'type', '{entity}', 'fields', {fields}, 'occurred_at', {now}{diff});"
_DIFF = ", '_diff', diff"
_DECLARED = "\n  diff jsonb;\n  was record;"
# The table is not as it was when this was written, or when this connection planned it: any error of that class. A migration
# took a column or gave it another type, and the one that follows writes already. A block with an EXCEPTION is a transaction
# inside the transaction, which costs two microseconds; hence one.
_IS_OTHERWISE = "syntax_error_or_access_rule_violation"
# What holds its pieces, as JSON.
_TEMPLATE = """
CREATE OR REPLACE FUNCTION {name}() RETURNS jsonb LANGUAGE sql IMMUTABLE AS $lightfield$SELECT {template}::jsonb$lightfield$
"""


def created_template(watch: Watch, name: str) -> str:
    """CREATE FUNCTION of the pieces for new rows; whoever asks is told, whatever the fields."""
    return _template(watch, name, "created", fields=[], levels="", left_changes="", diff="")


def updated_template(watch: Watch, name: str) -> str:
    """CREATE FUNCTION of the pieces for changed rows."""
    told = [field for name, field in watch.fields.items() if name not in watch.quiet]
    quiet = [field for name, field in watch.fields.items() if name in watch.quiet]
    left = [_told_if(_is_left_changed(field), _left_change(field)) for field in told]
    documents = frozenset(documents_of(watch))
    return _template(
        watch,
        name,
        "updated",
        fields=[_pieces_of(field, is_document=field.name in documents) for field in told],
        levels=" ".join(map(_level, quiet)),
        left_changes="\n    ".join(["diff := NULL;", *left]),
        diff=_DIFF,
    )


def _template(
    watch: Watch,
    name: str,
    event: str,
    *,
    fields: list[dict[str, str]],
    levels: str,
    left_changes: str,
    diff: str,
) -> str:
    """What `specialising` reads.

    Args:
        fields: of each that is told when it changes, in their order.
        levels: what makes `was` like NEW in the fields that change with every save.
    """
    pieces = [_BEGINS, _TELLS, _TELLS_LEFT, _ENDS]
    slots = _slots(watch, event, left_changes, diff)
    template: dict[str, Any] = {
        "entity": watch.entity,
        "event": event,
        "body": [piece.format(**slots) for piece in pieces],
        "fields": fields,
        "levels": levels,
    }
    return _TEMPLATE.format(name=name, template=literal(json.dumps(template)))


def _slots(watch: Watch, event: str, left_changes: str, diff: str) -> dict[str, Any]:
    unreadable = ""
    for name in map(literal, documents_of(watch)):
        unreadable += " OR " + UNREADABLE.format(f"(told #> ARRAY['fields', {name}])")
        if event == "updated":
            unreadable += " OR coalesce(" + UNREADABLE.format(f"(diff -> {name} -> 'before')") + ", false)"
    return {
        "types": types_of(watch),
        "declared": _DECLARED if event == "updated" else "",
        "told": _told(watch, diff),
        "is_special": _is_special(watch),
        "is_otherwise": _IS_OTHERWISE,
        "left_changes": left_changes,
        "left_told": _left_told(watch, diff),
        "by_begins": modes.BY_BEGINS,
        "by_length": modes.BY_LENGTH,
        "by_pattern": modes.BY_PATTERN,
        "loaded": modes.LOADED,
        "most_bytes": MOST_BYTES,
        "unreadable": unreadable,
    }


def _told(watch: Watch, diff: str) -> str:
    return _TOLD.format(
        id=pk_text_sql(watch, "NEW"), entity=watch.entity, fields=row_sql(watch, "NEW"), now=_NOW, diff=diff
    )


def _is_special(watch: Watch) -> str:
    """One expression: each costs a microsecond before it is evaluated. The field of a document may have set it before."""
    documents = [is_doubtful_sql(watch.fields[name], "NEW") for name in documents_of(watch)]
    caused = f"starts_with(current_query(), '{modes.BY_BEGINS}')"
    return " OR ".join(["is_special", f"pg_column_size(told) > {MOST_BYTES}", caused, *documents])


def _left_told(watch: Watch, diff: str) -> str:
    return _TOLD.format(
        id=f"to_jsonb(NEW) ->> {literal(str(watch.pk.column))}",
        entity=watch.entity,
        fields=left_fields_sql(watch, "NEW"),
        now=_NOW,
        diff=diff,
    )


_NOW = instant_sql("clock_timestamp()", may_be_infinite=False)


def _pieces_of(field: AnyField, *, is_document: bool) -> dict[str, str]:
    """Of one field: `is_changed`, a condition; `change`, what `diff` holds then; `doubts`, a statement; `level`, another."""
    spelled = literal(field.name)
    return {
        "name": field.name,
        "is_changed": is_changed_sql(field),
        "change": f"jsonb_build_object({spelled}, {told_change_sql(field)})",
        "doubts": "is_special := true;" if is_document else "",
        "level": _level(field),
    }


def _level(field: AnyField) -> str:
    column = quoted(field.column)
    return f"was.{column} := NEW.{column};"


def _told_if(is_changed: str, change: str) -> str:
    return f"IF {is_changed} THEN diff := coalesce(diff, '{{}}') || {change}; END IF;"


def _is_left_changed(field: AnyField) -> str:
    return f"{left_value_sql(field, 'OLD')} IS DISTINCT FROM {left_value_sql(field, 'NEW')}"


def _left_change(field: AnyField) -> str:
    both = f"'before', {left_value_sql(field, 'OLD')}, 'after', {left_value_sql(field, 'NEW')}"
    return f"jsonb_build_object({literal(field.name)}, jsonb_build_object({both}))"
