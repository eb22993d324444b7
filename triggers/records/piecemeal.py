"""Whether an update may be done in pieces: it may not, where one row's change could be seen by another's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Lookup, QuerySet, Subquery
from django.db.models.expressions import BaseExpression, RawSQL
from django.db.models.sql import Query
from django.db.models.sql.where import ExtraWhere
from django.utils.tree import Node


def is_possible(rows: Any, values: Iterable[Any]) -> bool:
    """Whether filter and new values of each row come from that row alone.

    One statement sees the table as it was. Later pieces would see what earlier ones made of it: the open children of
    parents that are closed by now, a rank among rows half of which have moved.
    """
    query = rows.query
    tables = [alias for alias in query.alias_map if query.alias_refcount[alias]]
    is_plain = len(tables) <= 1 and not (query.annotations or query.extra or query.group_by)
    return is_plain and all(map(_looks_at_its_row, (query.where, *values)))


def _looks_at_its_row(part: Any) -> bool:
    if isinstance(part, Query | QuerySet | Subquery | RawSQL | ExtraWhere):
        return False
    if isinstance(part, list | tuple | set):
        inner = part
    elif isinstance(part, Lookup):
        inner = [part.lhs, part.rhs]
    elif isinstance(part, Node):  # a WHERE, or a Q inside an expression
        inner = part.children
    else:
        inner = part.get_source_expressions() if isinstance(part, BaseExpression) else ()
    return all(map(_looks_at_its_row, inner))
