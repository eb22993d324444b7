"""Every way in which Django writes records, with capture around it: watched models only.

A model's `save_base` runs in a transaction, also in autocommit, where Django would commit the row before anybody
could add to it. `_save_table` is where one row of one table is written, whatever the class of the instance, and says
whether it was there before; signals are no such place: they are sent for the class of the instance only, so not for
what a subclass or a proxy saves, and other receivers may save in between.

`QuerySet.update` and `bulk_create` send no signal. They are wrapped once, for all querysets: managers and querysets of
any class come through here, and so do `bulk_update`, related managers and cascades that set to null. What is not
watched passes with one look into a dictionary.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from contextlib import nullcontext
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, router
from django.db.models import Model, QuerySet
from django.db.models.sql import UpdateQuery

from triggers.records import bulk, capture, modes, watching

Original = Callable[..., Any]
IS_WRAPPED = "_lightfield_wrapped"


def wrap(model: type[Model]) -> None:
    """Stand in the writers of this model, and in those of all querysets. Doing it again changes nothing."""
    _replace(model, "save_base", _save_base)
    _replace(model, "_save_table", _save_table)
    _replace(QuerySet, "update", bulk.update)
    _replace(QuerySet, "bulk_create", bulk.bulk_create)
    _replace(QuerySet, "_insert", bulk.insert)
    _replace(UpdateQuery, "update_batch", bulk.update_batch)


def _replace(owner: type, name: str, around: Callable[[Original], Original]) -> None:
    original = getattr(owner, name)
    if getattr(original, IS_WRAPPED, False):
        return
    wrapper = functools.wraps(original)(around(original))
    setattr(wrapper, IS_WRAPPED, True)
    setattr(owner, name, wrapper)


def _save_base(original: Original) -> Original:
    def save_base(
        self: Model,
        raw: bool = False,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Collection[str] | None = None,
    ) -> None:
        using = using or router.db_for_write(type(self), instance=self)
        save = partial(
            original,
            self,
            raw=raw,
            force_insert=force_insert,
            force_update=force_update,
            using=using,
            update_fields=update_fields,
        )
        if modes.is_left_to_database(is_loaded=raw):
            save()
            return
        with modes.in_a_transaction(using):
            save()

    return save_base


def _save_table(original: Original) -> Original:
    def save_table(
        self: Model,
        raw: bool = False,
        cls: type[Model] | None = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Collection[str] | None = None,
    ) -> bool:
        """Whether the row was there before. `cls` is the model whose table it is."""
        write: Callable[[], bool] = partial(
            original, self, raw, cls, force_insert, force_update, using, update_fields
        )
        if modes.is_left_to_database(is_loaded=raw):
            return write()
        watch = watching.find(cls) if using == DEFAULT_DB_ALIAS else None
        if watch is None:
            return write()
        # `loaddata` calls the `save_base` of all models, which opens no transaction.
        with (
            modes.in_a_transaction() if raw else nullcontext(),
            modes.seen_by_us(is_loaded=raw) as is_captured_here,
        ):
            if raw or not is_captured_here:
                return write()
            pk = watch.pk_of(self)
            is_new = (
                pk is None or force_insert or (not force_update and _is_inserted_unasked(self, watch.model))
            )
            seen = None if is_new or pk is None else capture.look(watch, pk)
            was_there = write()
        if was_there:
            capture.saved(watch, self, seen, update_fields)
        else:
            new_pk = watch.pk_of(self)
            assert new_pk is not None
            capture.created(watch, [new_pk])
        return was_there

    return save_table


def _is_inserted_unasked(instance: Model, model: type[Model]) -> bool:
    """Django inserts a new instance whose key has a default without looking for its row first."""
    return instance._state.adding and all(
        field.has_default() or field.has_db_default() for field in model._meta.pk_fields
    )
