"""A watched model's twin, which nobody watches, and what `benchmarks.saves` does to the rows of both."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import connection, models, transaction
from django.db.models import QuerySet

from triggers.models import OutboxEvent
from workflows import services

ROWS = 50  # changed in turn, so that no row drags a chain of its dead versions behind it
MADE = "made"  # the name of rows that a block creates
STEP = {"key": "told", "type": "log", "config": {"message": "captured"}}
WRAPPED = ("update", "bulk_create", "_insert")


class Rows:
    """Rows of one model. What is done to them is done inside `atomic()`, unless it is said to be done plainly."""

    def __init__(self, model: type[models.Model]) -> None:
        self.model = model
        self.manager: Any = model._default_manager
        self._turn = itertools.cycle([self.manager.create(name=f"Deal {n}", amount=n) for n in range(ROWS)])
        self._value = itertools.count()

    def changing(self, field: str) -> Callable[[], None]:
        return partial(self._change, field)

    def _change(self, field: str) -> None:
        one = next(self._turn)
        setattr(one, field, f"v{next(self._value)}")
        with transaction.atomic():
            one.save()

    def changing_plainly(self, field: str) -> Callable[[], None]:
        """A bare `save()`, as people write it: whoever captures it has to see to the transaction."""
        return partial(self._change_plainly, field)

    def _change_plainly(self, field: str) -> None:
        one = next(self._turn)
        setattr(one, field, f"v{next(self._value)}")
        one.save()

    def create_plainly(self) -> None:
        self.manager.create(name=MADE, amount=1)

    def create(self) -> None:
        with transaction.atomic():
            self.manager.create(name=MADE, amount=1)

    def update(self) -> None:
        with transaction.atomic():
            self.manager.filter(pk=next(self._turn).pk).update(stage=f"v{next(self._value)}")

    def bulk_create(self) -> None:
        with transaction.atomic():
            self.manager.bulk_create([self.model(name=MADE, amount=1) for _ in range(5)])

    def unwatched_deeds(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("save", self.changing("stage")),
            ("create", self.create),
            ("update", self.update),
            ("bulk_create", self.bulk_create),
        ]

    def forget_made(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f'DELETE FROM "{self.model._meta.db_table}" WHERE name = %s', [MADE])


@contextmanager
def a_twin(model: type[models.Model]) -> Iterator[type[models.Model]]:
    """A model with the same fields and indexes on a table of its own, until the block ends."""
    fields = {field.name: _copy(field) for field in model._meta.concrete_fields}
    indexes = [index.clone() for index in model._meta.indexes]
    for index in indexes:
        index.name = f"twin_{index.name}"[:30]
    meta = type(
        "Meta", (), {"app_label": model._meta.app_label, "db_table": "bench_twin", "indexes": indexes}
    )
    twin = type("Twin", (models.Model,), {"__module__": model.__module__, "Meta": meta, **fields})
    with connection.schema_editor() as editor:
        editor.create_model(twin)
    try:
        yield twin
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(twin)


def _copy(field: models.Field[Any, Any]) -> models.Field[Any, Any]:
    copy = field.clone()
    if copy.remote_field is not None:
        copy.remote_field.related_name = "+"  # nothing leads back to it from what it refers to
    return copy


@contextmanager
def listening(event: str, *fields: str) -> Iterator[None]:
    """A workflow that watches opportunities."""
    config = {"entity": "opportunity", "event": event, **({"fields": [*fields]} if fields else {})}
    trigger = {"type": "record", "config": config}
    definition = {"schema": 1, "name": "Watching", "trigger": trigger, "steps": [STEP]}
    workflow = services.create_workflow(definition=definition, by="bin/bench")
    services.publish(workflow_id=workflow.pk, by="bin/bench")
    yield
    services.archive(workflow_id=workflow.pk, by="bin/bench")


@contextmanager
def forgotten(*all_rows: Rows) -> Iterator[None]:
    """What a measurement leaves behind is thrown away: events that nobody dispatches, and rows that were made."""
    yield
    OutboxEvent.objects.all().delete()
    for rows in all_rows:
        rows.forget_made()


@contextmanager
def unwrapped() -> Iterator[None]:
    """Querysets as Django made them, with nothing of ours around their writers."""
    wrappers = {name: getattr(QuerySet, name) for name in WRAPPED}
    for name, wrapper in wrappers.items():
        setattr(QuerySet, name, wrapper.__wrapped__)
    try:
        yield
    finally:
        for name, wrapper in wrappers.items():
            setattr(QuerySet, name, wrapper)
