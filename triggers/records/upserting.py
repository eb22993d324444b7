"""Capture around `bulk_create(update_conflicts=True)`: each row was either made or changed, and nobody says which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Model, Q, QuerySet, TextField
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast

from triggers.records import capture
from triggers.records.capture import AT_ONCE
from triggers.records.columns import table_sql
from triggers.records.watching import Watch

MOST_TRIES = 3


class _Unforeseen(Exception):
    """A row was changed of which nobody knows what it was.

    It came from somebody else between the look and the write, or it has other values in its unique fields than were
    given: nulls that are equal here, or what a trigger of the project made of them.
    """


def upsert(
    write: Callable[..., Any], rows: Any, watch: Watch, objs: list[Model], options: dict[str, Any]
) -> Any:
    """Write all of `objs` in pieces, each with its events. Inside a transaction.

    The rows that are there already are locked and read first. One that was not foreseen, such as one that somebody
    else commits after that look, shows by its xmax, which a row that was just inserted does not have: then the piece is
    undone and done again, and this time the row is among those that are there.
    """
    if not options.get("unique_fields"):
        return write(objs, **options)  # it says what is missing
    for start in range(0, len(objs), AT_ONCE):
        piece = objs[start : start + AT_ONCE]
        rows._prepare_for_bulk_create(piece)  # gives them their keys, as Django is about to
        conflicts = _conflicts(watch, piece, list(options["unique_fields"]))
        keys = [(one.pk, one._state.adding) for one in piece]
        for tries_left in reversed(range(MOST_TRIES)):
            try:
                with transaction.atomic(using=DEFAULT_DB_ALIAS):
                    _write(write, watch, piece, options, conflicts, may_repeat=tries_left > 0)
                break
            except _Unforeseen:
                conflicts |= _by_key(piece)  # those that it did write, while it stood
                for one, (key, was_adding) in zip(piece, keys, strict=True):
                    one.pk, one._state.adding = key, was_adding
    return objs


def _write(
    write: Callable[..., Any],
    watch: Watch,
    piece: list[Model],
    options: dict[str, Any],
    conflicts: Q,
    *,
    may_repeat: bool,
) -> None:
    befores = capture.before(watch, [key for key, _ in _keys(watch, conflicts)])
    write(piece, **options)
    found = _keys(watch, conflicts | _by_key(piece))
    if may_repeat and any(not is_fresh and key not in befores for key, is_fresh in found):
        raise _Unforeseen
    capture.changed(watch, [key for key, _ in found], [befores.get(key) for key, _ in found])


def _by_key(piece: Sequence[Model]) -> Q:
    """The rows that were written, as far as Django says which those are."""
    return Q(
        pk__in=[one.pk for one in piece if one.pk is not None and not hasattr(one.pk, "resolve_expression")]
    )


def _conflicts(watch: Watch, piece: Sequence[Model], names: list[str]) -> Q:
    """Rows with the same values in the unique fields as one of these. Null is equal to nothing."""
    fields: list[Any] = [watch.pk if name == "pk" else watch.model._meta.get_field(name) for name in names]
    if len(fields) == 1:
        return Q((f"{fields[0].name}__in", [getattr(one, fields[0].attname) for one in piece]))
    each = [{field.attname: getattr(one, field.attname) for field in fields} for one in piece]
    return reduce(or_, [Q(**values) for values in each if None not in values.values()], Q(pk__in=[]))


def _keys(watch: Watch, conflicts: Q) -> list[tuple[str, bool]]:
    """Of these rows the keys, spelled as the database spells them, and whether each was just inserted."""
    is_fresh = RawSQL(f"{table_sql(watch)}.xmax = 0", ())  # noqa: S611  a table's own name
    rows: QuerySet[Any] = QuerySet(watch.model, using=DEFAULT_DB_ALIAS).filter(conflicts)
    return list(
        rows.annotate(_key=Cast("pk", TextField()), _is_fresh=is_fresh).values_list("_key", "_is_fresh")
    )
