"""Capture around the writers that send no signal: `update`, `bulk_create`, and what is built on them.

Rows are taken in pieces of 500, so that memory stays flat; all pieces are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.models import Model, QuerySet
from django.db.models.constants import OnConflict
from django.db.models.sql import InsertQuery

from triggers.records import capture, modes, upserting, watching
from triggers.records.watching import Watch

AT_ONCE = 500
BULK_CREATE_ARGUMENTS: Final = (
    *("batch_size", "ignore_conflicts", "update_conflicts"),
    *("update_fields", "unique_fields"),
)
Original = Callable[..., Any]
Rows = Any  # a QuerySet; what is asked of it is not all in the stubs
T = TypeVar("T")


def update(original: Original) -> Original:
    """Around `QuerySet.update`."""

    def captured_update(self: Rows, **values: Any) -> int:
        watches = _watches_of(self)
        if not watches or modes.is_left_to_database() or self.query.combinator or self.query.is_sliced:
            return int(original(self, **values))  # or it says what is wrong with it
        with (
            transaction.atomic(using=DEFAULT_DB_ALIAS, savepoint=False),
            modes.seen_by_us() as is_captured_here,
        ):
            interested = _interested(watches, values) if is_captured_here else []
            if not interested:
                return int(original(self, **values))
            updated = sum(_update_piece(original, self, values, interested, keys) for keys in _locked(self))
            self._result_cache = None
            return updated

    return captured_update


def _watches_of(rows: Rows) -> list[Watch]:
    """A watched table of the same name in another database is another table."""
    rows._for_write = True
    return watching.watches_of(rows.model) if rows.db == DEFAULT_DB_ALIAS else []


def _interested(watches: Sequence[Watch], values: dict[str, Any]) -> list[Watch]:
    """The watches with a trigger to which one of the updated fields may matter."""
    found = []
    for watch in watches:
        names = _names_written(watch, values)
        if names and any(
            not wanted.fields or wanted.fields & names for wanted in capture.watchers(watch, "updated")
        ):
            found.append(watch)
    return found


def _names_written(watch: Watch, values: dict[str, Any]) -> set[str]:
    """The watched fields of this table that an update with these values touches, worked-out ones included."""
    fields = watch.fields.items()
    written = {name for name, field in fields if name in values or field.attname in values}
    return written | {name for name, field in fields if written and field.generated}


def _locked(rows: Rows) -> Iterator[list[Any]]:
    """The keys of the rows that an update would touch, locked, in pieces.

    In the order of the keys, as every update of ours takes them: two at once never wait for each other in a circle.
    """
    locked: QuerySet[Any, Any] = (
        QuerySet(rows.model, using=DEFAULT_DB_ALIAS)
        .filter(pk__in=rows._chain().order_by().values("pk"))
        .order_by("pk")
        .select_for_update(of=("self",), no_key=True)
        .values_list("pk", flat=True)
    )
    yield from _pieces(list(locked))


def _update_piece(
    original: Original, rows: Rows, values: dict[str, Any], watches: Sequence[Watch], keys: list[Any]
) -> int:
    """Update these rows as far as they still are what was asked for.

    Between look and lock somebody may have changed them, and of two who say `filter(stage="open").update(stage="won")`
    at once only one must win.
    """
    befores = {watch: capture.before(watch, [watch.pk_text(key) for key in keys]) for watch in watches}
    updated = int(original(rows._chain().filter(pk__in=keys), **values))
    for watch, before in befores.items():
        capture.changed(watch, list(before), list(before.values()))
    return updated


def bulk_create(original: Original) -> Original:
    """Around `QuerySet.bulk_create`."""

    def captured_bulk_create(self: Rows, objs: Any, *args: Any, **options: Any) -> Any:
        watches = _watches_of(self)
        if not watches or modes.is_left_to_database():
            return original(self, objs, *args, **options)
        options = {**dict(zip(BULK_CREATE_ARGUMENTS, args, strict=False)), **options}
        objs = list(objs)
        with (
            transaction.atomic(using=DEFAULT_DB_ALIAS, savepoint=False),
            modes.seen_by_us() as is_captured_here,
        ):
            watch = watches[0]  # Django refuses models whose rows lie in several tables
            if is_captured_here and objs and options.get("update_conflicts"):
                return upserting.upsert(partial(original, self), self, watch, objs, options)
            stored = original(self, objs, **options)
            if is_captured_here and not options.get("ignore_conflicts"):  # those: see `insert`
                for piece in _pieces([watch.pk_text(one.pk) for one in stored]):
                    capture.created(watch, piece)
            return stored

    return captured_bulk_create


def insert(original: Original) -> Original:
    """Around `QuerySet._insert`, for `bulk_create(ignore_conflicts=True)`: only here the database says what it took."""

    def captured_insert(
        self: Rows,
        objs: list[Model],
        fields: Any,
        returning_fields: Any = None,
        raw: bool = False,
        using: str | None = None,
        on_conflict: OnConflict | None = None,
        update_fields: Any = None,
        unique_fields: Any = None,
    ) -> Any:
        watches = _watches_of(self) if on_conflict == OnConflict.IGNORE else []
        if not watches or modes.is_database_capturing():
            return original(
                self, objs, fields, returning_fields, raw, using, on_conflict, update_fields, unique_fields
            )
        query = InsertQuery(self.model, on_conflict=on_conflict)
        query.insert_values(fields, objs, raw=raw)
        compiler = query.get_compiler(using=DEFAULT_DB_ALIAS)
        compiler.returning_fields = [self.model._meta.pk]
        with connection.cursor() as cursor:
            for text, params in compiler.as_sql():
                cursor.execute(text, params)
                capture.created(watches[0], [watches[0].pk_text(found[0]) for found in cursor.fetchall()])
        return []

    return captured_insert


def _pieces(items: Sequence[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), AT_ONCE):
        yield list(items[start : start + AT_ONCE])
