"""Comparisons of JSON as SQL: an address, `custom` as a whole, or one of the caller's own fields."""

from __future__ import annotations

import json
from typing import Any

from crm.steps.operands import FALSE, ORDER, Operand, Unfit
from workflows.comparisons import number_of, truth_of


def of_json(operand: Operand, operator: str, value: Any, *, is_own: bool) -> str:
    column = operand.column
    if operator == "is_set":
        return f"""{column} IS NOT NULL AND {column} NOT IN ('null', '""', '[]', '{{}}')"""
    if operator in ("is", "is_any_of"):
        values = value if operator == "is_any_of" and isinstance(value, list) else [value]
        return _is_json(operand, values)
    if operator == "contains":
        return _json_contains(operand, value)
    if not is_own:
        raise Unfit(f"{operand.name} is an object, which has no order.")
    return _json_order(operand, operator, value)


def _is_json(operand: Operand, values: list[Any]) -> str:
    given = operand.param(json.dumps([form for value in values for form in _forms(value)]))
    equal = f"{operand.column} IN (SELECT jsonb_array_elements({given}::jsonb))"
    return f"{operand.column} IS NULL OR {equal}" if None in values else equal


def _forms(value: Any) -> list[Any]:
    """A value, and what else counts as the same: a number and text written like one, true and "true"."""
    if isinstance(value, bool):
        return [value, str(value).lower()]
    if isinstance(value, str):
        also = [number_of(value), truth_of(value)]
        return [value, *(one for one in also if one is not None)]
    return [value, json.dumps(value)] if isinstance(value, int | float) else [value]


def _json_contains(operand: Operand, value: Any) -> str:
    """A list has it (each of them, if it is a list), an object has a field of that name, all else holds it as text."""
    column, wanted = operand.column, value if isinstance(value, list) else [value]
    has_all = " AND ".join(_has_item(operand, one) for one in wanted) or "true"
    parts = [f"WHEN 'array' THEN {has_all}"]
    if value is not None and not isinstance(value, list | dict):
        text = operand.param(value if isinstance(value, str) else json.dumps(value))
        parts.append(
            f"WHEN 'object' THEN {column} ? {text}" if isinstance(value, str) else "WHEN 'object' THEN false"
        )
        parts.append(f"WHEN 'null' THEN false ELSE strpos({column} #>> '{{}}', {text}) > 0")
    return f"CASE jsonb_typeof({column}) {' '.join(parts)} END"


def _has_item(operand: Operand, value: Any) -> str:
    given = operand.param(json.dumps(_forms(value)))
    items = f"SELECT FROM jsonb_array_elements({operand.column}) i"
    return f"EXISTS ({items} WHERE i IN (SELECT jsonb_array_elements({given}::jsonb)))"


def _json_order(operand: Operand, operator: str, value: Any) -> str:
    """Numbers among numbers, texts among texts; dates of one form are texts in their order."""
    column, sign = operand.column, ORDER[operator]
    if value is None or isinstance(value, bool | list | dict):
        return FALSE
    parts = []
    if (number := number_of(value)) is not None:
        parts.append(f"WHEN 'number' THEN {column}::numeric {sign} {operand.param(str(number))}::numeric")
    if isinstance(value, str):
        text = f"({column} #>> '{{}}') COLLATE \"C\""
        parts.append(f"WHEN 'string' THEN {text} {sign} {operand.param(value)}")
    return f"CASE jsonb_typeof({column}) {' '.join(parts)} END"
