"""Capture around the writers that send no signal: `update`, `bulk_create`, and what is built on them.

Rows are taken in pieces of 500, so that memory stays flat, unless one row's change could be seen by another's; all
pieces are one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.models import Model, QuerySet, TextField, Value
from django.db.models.constants import OnConflict
from django.db.models.functions import Cast
from django.db.models.sql import InsertQuery

from triggers.records import capture, modes, piecemeal, upserting, watching
from triggers.records.capture import AT_ONCE, Subscription
from triggers.records.watching import Watch

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
            modes.in_a_transaction(),
            modes.seen_by_us() as is_captured_here,
        ):
            if not is_captured_here:
                return int(original(self, **values))
            asked = [_asked(watch, values) for watch in watches]
            if any(one.is_interested for one in asked):
                found = _locked(self, [one.watch for one in asked])
                is_in_pieces = piecemeal.is_possible(self, values.values())
                pieces = _pieces(found) if is_in_pieces or not found else [found]
                updated = sum(_update_piece(original, self, values, asked, piece) for piece in pieces)
                self._result_cache = None
                return updated
            updated = int(original(self, **values))
            for one in asked:
                capture.unchanged(one.watch, one.watchers, updated, Counter(), one.names)
            return updated

    return captured_update


@dataclass(frozen=True)
class Asked:
    """Who watches updates of one table, and which of its watched fields are written."""

    watch: Watch
    watchers: tuple[Subscription, ...]
    names: frozenset[str]
    is_rewritten: bool = False  # see `capture.Seen`

    @property
    def is_interested(self) -> bool:
        return (self.is_rewritten and bool(self.watchers)) or any(
            wanted.may_ask_for(self.names) for wanted in self.watchers
        )


def _watches_of(rows: Rows) -> list[Watch]:
    """A watched table of the same name in another database is another table."""
    rows._for_write = True
    return watching.watches_of(rows.model) if rows.db == DEFAULT_DB_ALIAS else []


def _asked(watch: Watch, values: dict[str, Any]) -> Asked:
    names = _names_written(watch, values)
    if not names:
        return Asked(watch, (), names)
    watchers, is_rewritten = capture.watchers(watch, "updated")
    return Asked(watch, watchers, names, is_rewritten)


def _names_written(watch: Watch, values: dict[str, Any]) -> frozenset[str]:
    """The watched fields of this table that an update with these values touches, worked-out ones included."""
    columns = watch.model._meta.concrete_fields
    written = {field.name for field in columns if field.name in values or field.attname in values}
    worked_out = {field.name for field in columns if written and field.generated}
    return frozenset((written | worked_out) & watch.fields.keys())


def _locked(rows: Rows, watches: Sequence[Watch]) -> list[Any]:
    """The rows that an update would touch, locked: the key of each, and its key in each watched table.

    In the order of the keys, as every update of ours takes them: two at once never wait for each other in a circle.
    """
    wanted = rows._chain().order_by().values("pk")
    wanted.query.select_for_update = wanted.query.distinct = False  # an UPDATE takes no notice of them
    wanted.query.distinct_fields = ()
    locked: QuerySet[Any, Any] = (
        QuerySet(rows.model, using=DEFAULT_DB_ALIAS)
        .filter(pk__in=wanted)
        .order_by("pk")
        .select_for_update(no_key=True)
        .values_list("pk", *(watch.pk.name for watch in watches))
    )
    with transaction.mark_for_rollback_on_error(using=DEFAULT_DB_ALIAS):
        return list(locked)


def _update_piece(
    original: Original, rows: Rows, values: dict[str, Any], asked: Sequence[Asked], piece: list[Any]
) -> int:
    """Update these rows as far as they still are what was asked for.

    Between look and lock somebody may have changed them, and of two who say `filter(stage="open").update(stage="won")`
    at once only one must win.
    """
    keys, *keys_by_watch = zip(*piece, strict=True)
    befores = [
        capture.before(one.watch, [one.watch.pk_text(key) for key in of_watch])
        for one, of_watch in zip(asked, keys_by_watch, strict=True)
    ]
    afters = [
        _keys_afterwards(one.watch, values, of_watch, list(before))
        for one, of_watch, before in zip(asked, keys_by_watch, befores, strict=True)
    ]
    updated = int(original(rows._chain().filter(pk__in=keys), **values))
    for one, before, after in zip(asked, befores, afters, strict=True):
        answered = capture.changed(one.watch, after, list(before.values()))
        capture.unchanged(one.watch, one.watchers, updated, answered, one.names)
    return updated


def update_batch(original: Original) -> Original:
    """Around `UpdateQuery.update_batch`: cascades that loaded their rows, as an `on_delete` of a project's own may."""

    def captured_update_batch(self: Any, pk_list: Sequence[Any], values: dict[str, Any], using: str) -> None:
        model = self.get_meta().model
        if using != DEFAULT_DB_ALIAS or not watching.watches_of(model):
            original(self, pk_list, values, using)
            return
        for piece in _pieces(pk_list):
            QuerySet(model, using=using).filter(pk__in=piece).update(**values)

    return captured_update_batch


def _keys_afterwards(
    watch: Watch, values: dict[str, Any], keys: Sequence[Any], texts: list[str]
) -> list[str]:
    """What the keys of these rows will be, in the order of `texts`: an update may change them too."""
    field = watch.pk
    new = next((values[name] for name in (field.name, field.attname) if name in values), None)
    if new is None:
        return texts
    if not hasattr(new, "resolve_expression"):
        new = Value(new.pk if isinstance(new, Model) else new, output_field=field)
    rows: QuerySet[Any] = QuerySet(watch.model, using=DEFAULT_DB_ALIAS).filter(pk__in=keys)
    rows = rows.annotate(_before=Cast(field.name, TextField()), _after=Cast(new, TextField()))
    found = dict(rows.values_list("_before", "_after"))
    return [found[text] for text in texts]


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
                capture.created(watch, [watch.pk_text(one.pk) for one in stored])
            return stored

    return captured_bulk_create


def insert(original: Original) -> Original:
    """Around `QuerySet._insert`, for `bulk_create`: only here the database says which rows it took, and their keys."""

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
        watches = _watches_of(self)
        if not watches or on_conflict != OnConflict.IGNORE or modes.is_database_capturing():
            found = original(
                self, objs, fields, returning_fields, raw, using, on_conflict, update_fields, unique_fields
            )
            if watches and found and watches[0].pk in returning_fields:
                _take_keys(watches[0], objs, [row[returning_fields.index(watches[0].pk)] for row in found])
            return found
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


def _take_keys(watch: Watch, objs: Sequence[Model], keys: list[Any]) -> None:
    """`bulk_create` sets keys that were missing, and forgets those that were left to a default of the database."""
    for one, key in zip(objs, keys, strict=True):
        if watch.pk_of(one) is None:
            setattr(one, str(watch.pk.attname), key)


def _pieces(items: Sequence[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), AT_ONCE):
        yield list(items[start : start + AT_ONCE])
