"""Comparisons of a record's fields with given values, as SQL. The operators and their meaning are those of `workflows.comparisons`.

The value is read as what the field is: text, a number, an instant, true or false, an id. Column names come from the model
and every value is a parameter, so nothing that a workflow is given becomes SQL. What compares false compares false with
null too: each negative is the opposite of its positive.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, get_args
from uuid import UUID

from django.db import connection, models

from crm.steps.entities import CUSTOM, Entity
from crm.steps.json_filters import of_json
from crm.steps.operands import FALSE, ORDER, Operand, Unfit
from crm.steps.reading import ROW
from lightfield.kernel.errors import Problem, RequestRefused
from triggers.records.columns import quoted
from triggers.records.describing import Form, form_of
from triggers.records.watching import AnyField
from workflows.comparisons import Operator, instant_of, number_of, truth_of

VALUE_CHARS: Final = 1000  # of a text that is looked for
MOST_VALUES: Final = 100  # in one list
OPERATORS: Final = get_args(Operator)
NEGATIVES: Final = {"is_not": "is", "does_not_contain": "contains", "is_none_of": "is_any_of"}
TYPES: Final = {
    Form.NUMBER: "numeric",
    Form.BOOLEAN: "boolean",
    Form.INSTANT: "timestamptz",
    Form.TEXT: "text",
}


@dataclass(frozen=True)
class Condition:
    """A boolean expression of SQL over a row, and its parameters: texts and lists of texts."""

    sql: str
    params: dict[str, Any]


def condition_of(entity: Entity, name: str, operator: str, value: Any, prefix: str) -> Condition:
    """One comparison.

    Args:
        name: of a field that there is, or `custom.` and a name of the caller's own.
        prefix: what the names of its parameters begin with.

    Raises:
        RequestRefused: `config.invalid`: the operator or the value does not go with the field.
    """
    positive = NEGATIVES.get(operator, operator)
    is_custom = name.startswith(CUSTOM)
    column = f"{ROW}.{quoted(entity.columns['custom' if is_custom else name].column)}"
    operand = Operand(name, column, prefix)
    try:
        if positive != "is_set":
            _check_size(value)
        if is_custom:
            operand.column = f"({column} -> {operand.param(name[len(CUSTOM) :])})"
            sql = of_json(operand, positive, value, is_own=True)
        else:
            sql = _of_column(entity, operand, positive, value)
    except Unfit as unfit:
        raise RequestRefused("config.invalid", problems=[Problem("", "config.invalid", str(unfit))]) from None
    is_negated = operator in NEGATIVES or (operator == "is_set" and truth_of(value) is False)
    return Condition(f"({sql}) IS NOT TRUE" if is_negated else sql, operand.params)


def is_scalar(entity: Entity, name: str) -> bool:
    """Whether this field holds one text, number, instant or truth."""
    return form_of(entity.columns[name]) in TYPES


def _check_size(value: Any) -> None:
    if isinstance(value, list) and len(value) > MOST_VALUES:
        raise Unfit(f"A list may have at most {MOST_VALUES} values here.")
    for one in value if isinstance(value, list) else [value]:
        text = one if isinstance(one, str) else json.dumps(one) if isinstance(one, dict | list) else ""
        if len(text) > VALUE_CHARS:
            raise Unfit(f"A value may have at most {VALUE_CHARS} characters here.")
        if "\0" in text:
            raise Unfit("A value cannot hold U+0000.")


def _of_column(entity: Entity, operand: Operand, operator: str, value: Any) -> str:
    column = entity.columns[operand.name]
    form = form_of(column)
    if form is Form.JSON:
        return of_json(operand, operator, value, is_own=False)
    folds = operand.name in entity.natural_keys or _is_email(column)
    if form is Form.LIST:
        return _of_list(operand, operator, value, folds=folds)
    kind = "uuid" if _is_id(column) else TYPES[form]
    return _of_scalar(operand, operator, value, partial(_read, column, form), kind, folds=folds)


def _is_id(column: AnyField) -> bool:
    return column.db_type(connection) == "uuid"


def _is_email(column: AnyField) -> bool:
    return isinstance(getattr(column, "base_field", column), models.EmailField)


# --- columns that hold one value ----------------------------------------------------------------------


def _of_scalar(
    operand: Operand, operator: str, value: Any, read: Callable[[Any], str], kind: str, *, folds: bool
) -> str:
    column, is_text = operand.column, kind == "text"
    if operator == "is_set":
        return f"{column} IS NOT NULL" + (f" AND {column}::text <> ''" if is_text else "")
    if operator == "is":
        if isinstance(value, list | dict):
            raise Unfit(f"{operand.name} holds one value; a list goes with is_any_of and is_none_of.")
        return _is_one_of(operand, [value], read, kind, folds=folds)
    if operator == "is_any_of":
        return _is_one_of(operand, value if isinstance(value, list) else [value], read, kind, folds=folds)
    if operator == "contains":
        if not is_text:
            raise Unfit(f"{operator} goes with texts, lists and objects, and {operand.name} is none of them.")
        return _contains_text(f"{column}::text", operand, value, folds=folds)
    if value is None:
        return FALSE
    given = operand.param(read(value))
    if is_text:
        return f'{column}::text COLLATE "C" {ORDER[operator]} {given}'
    return f"{column} {ORDER[operator]} {given}::{kind}"


def _is_one_of(
    operand: Operand, values: list[Any], read: Callable[[Any], str], kind: str, *, folds: bool
) -> str:
    column, texts = operand.column, [read(value) for value in values if value is not None]
    parts = [f"{column} IS NULL"] if None in values else []
    left, right = (f"upper({column})", "upper({})") if folds else (column, "{}::" + kind)
    if kind == "text" and not folds:
        left = f"{column}::text"
    if len(texts) == 1:
        parts.append(f"{left} = {right.format(operand.param(texts[0]))}")
    elif texts:
        each = right.format("v")
        parts.append(f"{left} = ANY(ARRAY(SELECT {each} FROM unnest({operand.param(texts)}) v))")
    return " OR ".join(parts) or FALSE


def _contains_text(text: str, operand: Operand, value: Any, *, folds: bool = False) -> str:
    if value is None:
        return FALSE
    given = operand.param(_text(value))
    return f"strpos(upper({text}), upper({given})) > 0" if folds else f"strpos({text}, {given}) > 0"


def _read(column: AnyField, form: Form, value: Any) -> str:
    """The value as text that PostgreSQL reads as what the column holds. Raises Unfit."""
    name = column.name
    if form is Form.BOOLEAN:
        if (truth := truth_of(value)) is None:
            raise Unfit(f"{name} is true or false.")
        return str(truth).lower()
    if form is Form.NUMBER:
        if (number := number_of(value)) is None:
            raise Unfit(f"{name} is a number.")
        return str(number)
    if form is Form.INSTANT:
        if (instant := instant_of(value)) is None:
            raise Unfit(f"{name} is an instant: write 2026-03-01 or 2026-03-01T09:00:00Z.")
        return instant.isoformat()
    if _is_id(column):
        return _id(value, name)
    text = _text(value)
    is_address = isinstance(column, models.URLField) and text and "://" not in text
    return f"https://{text}" if is_address else text


def _id(value: Any, name: str) -> str:
    try:
        return str(UUID(value.strip()))
    except (ValueError, AttributeError):
        raise Unfit(f"{name} is the id of a record.") from None


def _text(value: Any) -> str:
    if isinstance(value, list | dict | bool) or value is None:
        raise Unfit("Expected text.")
    return value if isinstance(value, str) else json.dumps(value)


# --- columns that hold a list of texts ----------------------------------------------------------------


def _of_list(operand: Operand, operator: str, value: Any, *, folds: bool) -> str:
    column = (
        f"ARRAY(SELECT upper(u) FROM unnest({operand.column}) u)" if folds else f"{operand.column}::text[]"
    )
    if operator == "is_set":
        return f"cardinality({operand.column}) > 0"
    if operator in ORDER:
        raise Unfit(f"{operand.name} is a list, which has no order.")
    values = value if isinstance(value, list) else [value]
    if operator == "is" and not isinstance(value, list):
        return f"{operand.column} IS NULL" if value is None else FALSE
    texts = [_text(one) for one in values if one is not None]
    if operator == "contains" and len(texts) < len(values):
        return FALSE  # none of these lists holds null
    given = operand.param(texts)
    if folds:
        given = f"ARRAY(SELECT upper(v) FROM unnest({given}) v)"
    return f"{column} {({'is': '=', 'contains': '@>', 'is_any_of': '&&'})[operator]} {given}"
